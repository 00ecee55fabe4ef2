//! How much a machine's processes wait for it: the kernel's pressure files (since 4.20, where they are switched on).

use std::path::Path;

use dybox_model::roster::Pressure;

/// What the kernel tells; nothing of what it does not.
pub(crate) fn read(dir: &Path) -> Pressure {
    let share =
        |file: &str, line| std::fs::read_to_string(dir.join(file)).ok().and_then(|text| last_minute(&text, line));
    Pressure { cpu: share("cpu", "some"), io: share("io", "full"), memory: share("memory", "full") }
}

/// The share of the last minute that this line of a file tells, in thousandths.
fn last_minute(text: &str, line: &str) -> Option<u16> {
    let line = text.lines().find_map(|all| all.strip_prefix(line)?.strip_prefix(' '))?;
    let percent: f64 = line.split(' ').find_map(|word| word.strip_prefix("avg60="))?.parse().ok()?;
    // A share is between nothing and all of it, whatever a file says.
    percent.is_finite().then(|| (percent * 10.0).round().clamp(0.0, 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kernel 6.1 shows a machine on which somebody copies disks.
    #[test]
    fn pressure_is_what_the_files_of_the_kernel_say_of_the_last_minute() {
        let dir = std::env::temp_dir().join(format!("dybox-pressure-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.join(file), text).unwrap();
        write(
            "cpu",
            "some avg10=3.11 avg60=2.54 avg300=1.02 total=112233\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        );
        write(
            "io",
            "some avg10=71.20 avg60=64.98 avg300=30.11 total=998877\nfull avg10=44.00 avg60=38.27 avg300=20.00 total=554433\n",
        );
        assert_eq!(read(&dir), Pressure { cpu: Some(25), io: Some(383), memory: None });
        // Kernels before 5.13 have no such line for cpus; one that was switched off gives nothing to read.
        write("cpu", "some avg10=99.00 avg60=100.00 avg300=97.00 total=1\n");
        write("io", "");
        write("memory", "full avg10=0.00 avg60=much avg300=0.00 total=0\n");
        assert_eq!(read(&dir), Pressure { cpu: Some(1000), io: None, memory: None });
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(read(&dir).is_none());
    }
}
