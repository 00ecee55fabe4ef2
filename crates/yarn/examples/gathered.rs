//! Prints a gathered log file that was copied from HDFS: `gathered FILE`.

#![expect(clippy::print_stdout, reason = "an example speaks to whoever runs it")]

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use dybox_yarn::logs::{ReadAt, Reader};

struct Local(File, u64);

impl ReadAt for Local {
    fn len(&self) -> u64 {
        self.1
    }

    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("gathered FILE")?;
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut reader = Reader::open(Local(file, length)).await?;
    while let Some(entry) = reader.next().await? {
        println!("== {} {} ({} bytes)", entry.container, entry.name, entry.length);
        while let Some(bytes) = reader.chunk().await? {
            print!("{}", String::from_utf8_lossy(&bytes));
        }
    }
    Ok(())
}
