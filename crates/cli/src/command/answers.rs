//! What listens at an address that should be a server of Hadoop's: for who wrote down a wrong port.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::report::safe::safe;

/// Somebody waits for an error.
const PATIENCE: Duration = Duration::from_millis(800);
/// Of its first line.
const LONGEST: usize = 80;

/// What answers at `host:port`, in a sentence; nothing where nobody listens.
pub(super) fn answers(at: &str) -> Option<String> {
    let address = at.to_socket_addrs().ok()?.next()?;
    let mut line = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    line.set_read_timeout(Some(PATIENCE)).ok()?;
    line.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut said = [0; 256];
    let asked = line.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let heard = asked.and_then(|()| line.read(&mut said)).unwrap_or(0);
    let first = said[..heard].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let first = safe(&first[..first.len().min(LONGEST)]).into_owned();
    Some(match first.starts_with("HTTP/") {
        // Hadoop's RPC ports answer such a question with this sentence, in HTTP's form.
        true if said[..heard].windows(3).any(|three| three == b"IPC") => {
            "a daemon of Hadoop answers there and cut the connection: it is overloaded, or wants another login"
                .to_owned()
        }
        true => format!("what answers there speaks HTTP ({first}): it is a page, not a NameNode's RPC port"),
        false if first.is_empty() => {
            "something listens there and says nothing: it is no NameNode's RPC port (a DataNode's, perhaps)".to_owned()
        }
        false => format!("what answers there is no NameNode: it says {first:?}"),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listening(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            let _ = line.read(&mut [0; 64]);
            let _ = line.write_all(answer);
        });
        at
    }

    #[test]
    fn a_wrong_port_is_told_by_what_it_answers() {
        let said = answers(&listening(b"HTTP/1.1 200 OK\r\n\r\nhi")).unwrap();
        assert!(said.contains("(HTTP/1.1 200 OK): it is a page"), "{said}");
        assert!(answers(&listening(b"")).unwrap().contains("says nothing"));
        assert!(answers(&listening(b"SSH-2.0-x\r\n")).unwrap().contains("it says \"SSH-2.0-x\""));
        assert!(
            answers(&listening(b"HTTP/1.1 404 Not Found\r\n\r\nIt looks like an HTTP IPC request"))
                .unwrap()
                .contains("a daemon of Hadoop")
        );
        assert_eq!(answers("127.0.0.1:1"), None);
    }
}
