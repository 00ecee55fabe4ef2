//! The table.

/// The middle one of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a ratio must be.
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is told for comparison.
    None,
}

pub(crate) fn head() {
    println!("{:<46} {:>10}   {:<36} {:>6}   {:<8} {:<6}  load", "what", "median", "beside", "ratio", "bound", "");
}

/// One line: what, the figure, the peer or limit, the ratio and whether its bound holds.
pub(crate) fn line(what: &str, figure: &str, beside: &str, ratio: f64, bound: &Bound) {
    let (text, verdict) = match bound {
        Bound::AtMost(most) => (format!("<= {most}"), verdict(ratio <= *most)),
        Bound::AtLeast(least) => (format!(">= {least}"), verdict(ratio >= *least)),
        Bound::None => (String::new(), ""),
    };
    println!("{what:<46} {figure:>10}   {beside:<36} {ratio:>6.2}   {text:<8} {verdict:<6}  {}", load());
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

/// Both in seconds: ours at most `most` of the peer's.
pub(crate) fn beside(what: &str, ours: &[f64], peer: (&str, &[f64]), most: f64) {
    let (ours, theirs) = (median(ours.to_vec()), median(peer.1.to_vec()));
    line(what, &format!("{ours:.2} s"), &format!("{} {theirs:.2} s", peer.0), ours / theirs, &Bound::AtMost(most));
}

/// How many processes wanted a core over the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
