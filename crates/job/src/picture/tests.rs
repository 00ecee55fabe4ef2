use std::path::Path;

use super::*;
use crate::{NoWorld, Source, Submit, check};

fn picture(stages: &str) -> Picture {
    let text = format!("name: nightly\ndefaults: {{ image: \"a:1\" }}\nstages:\n{stages}");
    let source = Source { name: "job.yaml", bytes: text.as_bytes(), dir: Path::new("/") };
    let outcome = check(&source, &Submit::default(), &NoWorld);
    Picture::of(&outcome.plan.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics)))
}

fn plain(picture: &Picture, width: usize) -> String {
    text(picture, width, &|_, text| text.to_owned())
}

const DIAMOND: &str = "  top: {}\n  left: { needs: [top], parallelism: 3 }\n  right: { needs: [top] }\n  \
    bottom: { needs: { left: succeeded, right: finished } }\n";

#[test]
fn a_diamond_is_drawn_as_one() {
    let expected = "\
●  top
├─╮
│ ●  left ×3  ← top
● │  right  ← top
├─╯
●  bottom  ← left, right (finished)
";
    let drawn = plain(&picture(DIAMOND), 60);
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn every_line_fits_a_narrow_terminal() {
    let many: String = (0..30).map(|n| format!("  extract-number-{n}: {{}}\n")).collect();
    let needs: Vec<String> = (0..30).map(|n| format!("extract-number-{n}")).collect();
    let picture = picture(&format!("{many}  join: {{ needs: [{}] }}\n", needs.join(", ")));
    for width in [40, 60, 200] {
        let drawn = plain(&picture, width);
        assert!(drawn.lines().all(|line| line.chars().count() <= width), "{width}:\n{drawn}");
        assert!(drawn.contains("level 1, 30 side by side") && drawn.contains("join  ← "), "{drawn}");
    }
}

#[test]
fn every_stage_is_drawn_once_after_what_it_needs() {
    let mut stages = String::new();
    for n in 0..60 {
        let needs: Vec<String> = [n / 2, n / 3, n * 7 % (n + 1)]
            .into_iter()
            .filter(|&need| need < n)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|need| format!("s{need}"))
            .collect();
        stages.push_str(&format!("  s{n}: {{ needs: [{}] }}\n", needs.join(", ")));
    }
    let picture = picture(&stages);
    let order = picture.order();
    let place = |at: usize| order.iter().position(|&other| other == at).unwrap();
    assert_eq!(order.len(), picture.dots.len());
    for (at, dot) in picture.dots.iter().enumerate() {
        assert!(dot.needs.iter().all(|&(need, _)| place(need) < place(at)));
    }
    let rows = rails::rows(&picture, &order, 1000).unwrap();
    let drawn: Vec<usize> = rows.iter().filter_map(|row| row.dot.map(|(_, at)| at)).collect();
    assert_eq!(drawn, order);
}

#[test]
fn a_hook_stands_between_what_it_waits_for_and_what_it_holds() {
    let text = "name: a\ndefaults: { image: \"a:1\" }\nstages:\n  one: {}\n  two: { needs: [one] }\n  three: { needs: [two] }\n\
                hooks:\n  - { after: [one], run: [\"true\"] }\n";
    let source = Source { name: "job.yaml", bytes: text.as_bytes(), dir: Path::new("/") };
    let picture = Picture::of(&check(&source, &Submit::default(), &NoWorld).plan.unwrap());
    let drawn = plain(&picture, 80);
    assert_eq!(picture.dots[3].needs, vec![(0, Need::Succeeded)]);
    assert_eq!(picture.dots[1].needs, vec![(0, Need::Succeeded), (3, Need::Succeeded)]);
    assert_eq!(picture.dots[2].needs, vec![(1, Need::Succeeded)], "{drawn}");
    assert!(drawn.contains("◆  hook 1"), "{drawn}");
}

#[test]
fn nothing_of_a_name_becomes_markup() {
    let mut picture = picture(DIAMOND);
    picture.name = "<b>\"x\"\u{7}".to_owned();
    picture.dots[0].name = "a\"<script>alert('x')</script>\\&#;\nx".to_owned();
    picture.stands(StageId(1), "failed", 3);
    let svg = svg(&picture);
    assert!(!svg.contains("<script") && !svg.contains('\u{7}') && svg.contains("&lt;script&gt;"), "{svg}");
    assert!(svg.contains("#f8d7da") && svg.contains("3 tasks, failed"), "{svg}");
    assert_eq!(svg.matches('<').count(), svg.matches('>').count(), "{svg}");
    let dot = dot(&picture);
    assert!(dot.contains("a\\\"<script>") && dot.contains("n1 -> n3;"), "{dot}");
    assert!(dot.contains("n2 -> n3 [label=\"finished\", style=dashed];"), "{dot}");
    let mermaid = mermaid(&picture);
    assert!(!mermaid.contains("<script") && mermaid.contains("n0 --> n1"), "{mermaid}");
    assert!(mermaid.contains("n2 -. finished .-> n3") && mermaid.contains("classDef failed"), "{mermaid}");
}

#[test]
fn boxes_of_a_drawing_do_not_lie_over_each_other() {
    let mut stages = String::from("  s0: {}\n  alone: {}\n");
    for n in 1..40 {
        stages.push_str(&format!("  s{n}: {{ needs: [s{}, s0] }}\n", n - 1).replace("[s0, s0]", "[s0]"));
        stages.push_str(&format!("  wide-stage-number-{n}: {{ needs: [s{}] }}\n", n / 2));
    }
    let picture = picture(&stages);
    let widths: Vec<f64> = picture.dots.iter().map(|dot| dot.name.len() as f64 * 7.3 + 24.0).collect();
    let layout = layout::layout(&picture, &widths);
    let depths = picture.depths();
    for a in 0..widths.len() {
        for b in a + 1..widths.len() {
            let apart = (layout.middles[a].x - layout.middles[b].x).abs();
            let near = depths[a] == depths[b] && apart < f64::midpoint(widths[a], widths[b]);
            assert!(!near, "{} and {}", picture.dots[a].name, picture.dots[b].name);
        }
        let right = layout.middles[a].x + widths[a] / 2.0;
        assert!(right <= layout.width && layout.middles[a].x - widths[a] / 2.0 >= 0.0);
        assert!(layout.middles[a].y < layout.height);
    }
}

#[test]
fn a_large_job_is_drawn_too() {
    let stages: String = (0..3000)
        .map(|n| format!("  s{n}: {{ needs: [{}] }}\n", if n > 9 { format!("s{}", n - 10) } else { String::new() }))
        .collect();
    let picture = picture(&stages);
    assert_eq!(svg(&picture).matches("<rect x").count(), 3000);
    assert_eq!(plain(&picture, 100).matches('●').count(), 3000);
}
