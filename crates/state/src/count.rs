//! Metrics, in the text that Prometheus reads.

use std::collections::BTreeMap;
use std::fmt::Write;

use dybox_logic::roster::Roster;
use dybox_model::roster::Health;

/// What is counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) reports: u64,
    pub(crate) answers: u64,
    pub(crate) lines: u64,
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

impl Count {
    pub(crate) fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }

    /// All of it, with what is now.
    pub(crate) fn text(&self, roster: &Roster, troubles: usize) -> String {
        let (health, drained) = roster.counts();
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, about: &str, rows: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        let all = [Health::Healthy, Health::Degraded, Health::Unusable, Health::Unknown];
        let nodes = all.map(|one| (format!("{{health=\"{one}\"}}"), health.get(&one).copied().unwrap_or(0).into()));
        put("dybox_roster_nodes", "gauge", "Nodes by health.", &nodes);
        put("dybox_roster_drained", "gauge", "Nodes on which no new tasks are wanted.", &one(drained.into()));
        put("dybox_roster_lines", "gauge", "Agents that have a line now.", &one(self.lines));
        put("dybox_roster_reports_total", "counter", "Reports that came.", &one(self.reports));
        put("dybox_roster_answers_total", "counter", "Questions that were answered.", &one(self.answers));
        let refused: Vec<_> = self.refused.iter().map(|(why, count)| (format!("{{why=\"{why}\"}}"), *count)).collect();
        put("dybox_roster_refused_total", "counter", "Reports and calls that were refused.", &refused);
        let (swept, left) = roster.swept();
        put("dybox_roster_sweeps_total", "counter", "Sweeps that agents told of.", &one(swept.sweeps));
        let gone: Vec<_> = swept.removed.iter().map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), *count)).collect();
        put("dybox_roster_swept_total", "counter", "What sweeps removed.", &gone);
        put("dybox_roster_image_bytes_total", "counter", "Bytes of images that sweeps removed.", &one(swept.bytes));
        let left = left.map(|(what, count)| (format!("{{what=\"{what}\"}}"), count));
        put("dybox_roster_sweeps_left", "gauge", "Nodes whose last sweep left something.", &left);
        put("dybox_roster_troubles", "gauge", "What is wrong with this server.", &one(troubles as u64));
        if let Some((ticks, resident)) = own() {
            let seconds = format!("{}.{:02}", ticks / 100, ticks % 100);
            let _ = writeln!(text, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds}");
            let _ = writeln!(text, "# TYPE process_resident_memory_bytes gauge");
            let _ = writeln!(text, "process_resident_memory_bytes {resident}");
        }
        text
    }
}

/// This process's time on cpus, in hundredths of a second, and its memory.
fn own() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, tail) = stat.rsplit_once(')')?;
    let fields: Vec<_> = tail.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    Some((number(11)? + number(12)?, number(21)? * 4096))
}
