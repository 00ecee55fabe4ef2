//! Sizes of tasks that are known when their stage begins.

use dybox_model::{Resources, format_bytes};
use serde::{Deserialize, Serialize};

use crate::expr::{Evaluator, OfTask};
use crate::units::parse_size;

/// The engine's own minimum.
pub(crate) const LEAST_MEMORY: u64 = 6 << 20;

/// `cpus` and `memory` of a stage, where they have templates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sizes {
    /// A text like `${item.cpus}`; nothing = as the stage asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// A text like `${item.gb}GiB`; nothing = as the stage asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

impl Sizes {
    /// What the task asks for that the evaluator has entered; `ask` where no template says otherwise.
    ///
    /// # Errors
    /// A sentence that says which of them is no size.
    pub fn of(&self, evaluator: &mut Evaluator, ask: Resources) -> Result<Resources, String> {
        let mut asked = ask;
        if let Some(text) = &self.cpus {
            let text = evaluator.fill(text)?;
            let cpus = text.trim().parse::<f64>().map_err(|_| "it takes a number of cpus, like 1 or 0.5".to_owned());
            let milli = cpus.and_then(|cpus| milli_of(cpus).map_err(str::to_owned));
            asked.cpu_milli = milli.map_err(|why| format!("\"cpus\" can't be {text:?}: {why}"))?;
        }
        if let Some(text) = &self.memory {
            let text = evaluator.fill(text)?;
            let bytes = parse_size(&text).map_err(|bad| format!("{}; {}", bad.why, bad.write));
            let bytes = bytes.map_err(|why| format!("\"memory\" can't be {text:?}: {why}"))?;
            if bytes < LEAST_MEMORY {
                let least = format_bytes(LEAST_MEMORY);
                return Err(format!("\"memory\" can't be {text:?}: the engine gives no less than {least}"));
            }
            asked.memory = bytes;
        }
        Ok(asked)
    }

    /// What each task asks for, in their order: how many in a row, and their size.
    ///
    /// # Errors
    /// A sentence that says which task has no size, and why.
    pub fn all(
        &self,
        evaluator: &mut Evaluator,
        ask: Resources,
        (items, count): (Option<&[String]>, u32),
    ) -> Result<Vec<(u32, Resources)>, String> {
        let mut all: Vec<(u32, Resources)> = Vec::new();
        for index in 0..count {
            let item = items.and_then(|items| items.get(index as usize)).map(String::as_str);
            evaluator.enter(OfTask { item, index, count });
            let size = self.of(evaluator, ask).map_err(|why| format!("task {index}: {why}"))?;
            match all.last_mut().filter(|(_, last)| *last == size) {
                Some((row, _)) => *row += 1,
                None => all.push((1, size)),
            }
        }
        Ok(all)
    }
}

/// A number of cpus in thousandths.
pub(crate) fn milli_of(cpus: f64) -> Result<u32, &'static str> {
    let milli = (cpus * 1000.0).round();
    if !cpus.is_finite() {
        Err("that is no number of cpus")
    } else if milli < 1.0 {
        Err("the least is 0.001")
    } else if milli > 1_000_000.0 {
        Err("the most is 1000")
    } else {
        Ok(milli as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Known;

    #[test]
    fn each_task_asks_for_what_its_item_says() {
        let ask = Resources { cpu_milli: 1_000, memory: 1 << 30 };
        let size = |cpus: &str, memory: &str| Sizes { cpus: Some(cpus.to_owned()), memory: Some(memory.to_owned()) };
        let mut evaluator = Evaluator::new(&Known::default());
        let items = ["{\"c\":0.5,\"m\":1}", "{\"c\":0.5,\"m\":1}", "{\"c\":2,\"m\":3}"].map(str::to_owned);
        let all = size("${item.c}", "${item.m}GiB").all(&mut evaluator, ask, (Some(&items), 3));
        let of = |cpu_milli, gib: u64| Resources { cpu_milli, memory: gib << 30 };
        assert_eq!(all, Ok(vec![(2, of(500, 1)), (1, of(2_000, 3))]));
        let only = Sizes { cpus: None, memory: Some("${100 * (task.index + 1)}MiB".to_owned()) };
        let all = only.all(&mut evaluator, ask, (None, 2)).expect("sizes");
        assert_eq!(
            all.iter().map(|(_, size)| (size.cpu_milli, size.memory >> 20)).collect::<Vec<_>>(),
            [(1_000, 100), (1_000, 200)]
        );
        for (cpus, memory, why) in [
            ("${item.m * 0}", "1GiB", "task 0: \"cpus\" can't be \"0\": the least is 0.001"),
            ("1", "${item.m}", "task 0: \"memory\" can't be \"1\": "),
            ("1", "${item.m}MiB", "the engine gives no less than 6MiB"),
            ("${item.x}", "1GiB", "there is no \"x\" in it"),
        ] {
            let wrong = size(cpus, memory).all(&mut evaluator, ask, (Some(&items), 3)).expect_err("no size");
            assert!(wrong.contains(why), "{wrong}");
        }
    }
}
