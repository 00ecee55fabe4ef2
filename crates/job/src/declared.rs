//! What is read of results, held against what stages declare of them; and results that nobody writes.

use cel::Program;
use dybox_model::Need;

use crate::draft::{self, Job, Words};
use crate::kinds::{Kind, Kinds, Seen, Wrong};
use crate::late::{Around, texts};
use crate::reader::Spot;
use crate::report::Report;
use crate::segments::{Segment, find_word, segments};
use crate::text::Span;
use crate::trial::places;
use crate::uses::Use;

/// Checks all that a stage reads of stages that declare their results.
pub(crate) fn check(report: &mut Report, job: &Job, stage: &draft::Stage, around: &Around) {
    let results = |name: &str| result_of(job, around, name);
    let mut looks = Looks { report, kinds: Kinds::new(&results) };
    if let Some(each) = &stage.each
        && let Some(list) = each.expression.as_deref().and_then(|text| looks.expression(text, &each.uses))
    {
        if !matches!(list.kind, Kind::List(_) | Kind::OneOrMany(_) | Kind::Any) {
            looks.kinds.wrong.push(list.misfit("not a list", "give a list: one that a stage declares as list"));
        }
        looks.tell(each.expression.as_deref().unwrap_or_default(), &each.uses);
        looks.kinds.items_of(&list);
    }
    if let Some(when) = &stage.when
        && let Some(seen) = looks.expression(&when.expression, &when.uses)
    {
        if !matches!(seen.kind, Kind::Bool | Kind::Any | Kind::OneOrMany(_)) {
            let help = "compare it to something, like > 0";
            looks.kinds.wrong.push(seen.misfit("not true or false", help));
        }
        looks.tell(&when.expression, &when.uses);
    }
    let body = &stage.body;
    let sizes = body.cpus_words.iter().chain(&body.memory_words).chain(&body.image_words).map(|spot| &spot.value);
    texts(body).chain(places(body)).chain(sizes).for_each(|words| looks.words(words));
}

/// The stage that a name in an expression means.
fn stage_of<'a>(job: &'a Job, around: &Around, name: &str) -> Option<(u32, &'a draft::Stage)> {
    let id = around.names.get(name).or_else(|| around.names.get(name.replace('_', "-").as_str()))?;
    Some((*id, &job.stages[*id as usize]))
}

/// What `results.NAME` is: for a stage of one task what it writes, else a list of that.
fn result_of<'a>(job: &'a Job, around: &Around, name: &str) -> Kind<'a> {
    let Some((id, stage)) = stage_of(job, around, name) else { return Kind::Any };
    let Some(one) = stage.results.as_ref().map(Kind::of) else { return Kind::Any };
    let changes = around.held[id as usize] || stage.name.span == Span::NOWHERE;
    match stage.body.parallelism.unwrap_or(1) {
        _ if stage.each.is_some() => Kind::List(Box::new(one)),
        // A hook may change how many there are.
        _ if changes => Kind::OneOrMany(Box::new(one)),
        1 => one,
        _ => Kind::List(Box::new(one)),
    }
}

struct Looks<'r, 't, 'a, 'e> {
    report: &'r mut Report<'t>,
    kinds: Kinds<'a, 'e>,
}

impl<'a> Looks<'_, '_, 'a, '_> {
    /// All templates of a text.
    fn words(&mut self, words: &Words) {
        let Some(text) = words.written.as_deref().filter(|_| words.known.is_none()) else { return };
        let alone = matches!(segments(text).next(), Some(Segment::Template(template)) if template == text);
        for segment in segments(text) {
            let Segment::Template(template) = segment else { continue };
            let expression = &template[2..template.len() - 1];
            let Some(seen) = self.expression(expression, &words.uses) else { continue };
            if matches!(seen.kind, Kind::List(_) | Kind::Mapping | Kind::Entries(_)) {
                let help = match seen.kind {
                    Kind::Entries(_) => "name an entry of it",
                    _ if alone => "name a part of it, or make a text of it",
                    _ => "name a part of it",
                };
                self.kinds.wrong.push(seen.misfit("where text is needed", help));
            }
            self.tell(template, &words.uses);
        }
    }

    /// What an expression gives, where it reads anything that is known late.
    fn expression(&mut self, text: &str, uses: &[Spot<Use>]) -> Option<Seen<'a>> {
        if !uses.iter().any(|what| matches!(what.value, Use::Result(_) | Use::Item)) {
            return None;
        }
        let program = Program::compile(text).ok()?;
        Some(self.kinds.see(program.expression()))
    }

    /// Reports what was found in a template, or in an expression that stands alone.
    fn tell(&mut self, text: &str, uses: &[Spot<Use>]) {
        for wrong in std::mem::take(&mut self.kinds.wrong) {
            let span = place(self.report, text, uses, &wrong);
            self.report.error(wrong.code, span, wrong.message).label(wrong.label).help(wrong.help);
        }
    }
}

/// Where a word stands. What an expression reads has its place already: the word is looked for behind it.
fn place(report: &Report, text: &str, uses: &[Spot<Use>], wrong: &Wrong) -> Span {
    let of_stage = |what: &&Spot<Use>| matches!(&what.value, Use::Result(name) if *name == wrong.stage);
    let mut anchors = uses.iter().filter(of_stage).chain(uses.iter().filter(|what| what.value == Use::Item)).peekable();
    let first = anchors.peek().or(uses.first().as_ref()).map_or(Span::NOWHERE, |what| what.span);
    let found = anchors.find_map(|what| {
        let at = find_word(text, what.value.word());
        let start = (what.span.start as usize).checked_sub(at.start)?;
        let is_it = report.text.slice(Span::new(start, start + text.len())) == text;
        let behind = find_word(&text[at.end..], &wrong.word);
        let there = !wrong.word.is_empty() && text[at.end..].get(behind.clone()) == Some(wrong.word.as_str());
        (is_it && there).then(|| Span::new(start + at.end + behind.start, start + at.end + behind.end))
    });
    found.unwrap_or(first)
}

/// Warns of a result that is read and that nobody writes, as far as that can be known.
pub(crate) fn never_written(report: &mut Report, (own, at): (&draft::Stage, Span), of: &draft::Stage) {
    let (name, other) = (&own.name.value, &of.name.value);
    let must_fail = own.needs.iter().any(|(need, end)| need.value == *other && *end == Need::Failed);
    let one = of.each.is_none() && of.body.parallelism.unwrap_or(1) == 1;
    if must_fail && one {
        let message = format!("stage {name:?} runs when {other:?} has failed, and a task that failed has no result");
        report.warning("W0710", at, message).help(format!("read $DYBOX_NEEDS: it has the exit codes of {other:?}"));
    } else if of.results.is_none() && writes_nothing(&of.body) {
        let message = format!("stage {name:?} reads the results of {other:?}, which names no $DYBOX_RESULT");
        report.warning("W0710", at, message).note("without a result it reads null").help(format!(
            "let {other:?} write one, or declare what a program of its image writes: results: {{ ... }}"
        ));
    }
}

/// Whether all that a stage runs stands in the file, and nothing of it names `$DYBOX_RESULT`.
fn writes_nothing(body: &draft::Body) -> bool {
    const SHELLS: [&str; 4] = ["sh", "bash", "/bin/sh", "/bin/bash"];
    let command = body.command.as_deref().unwrap_or_default();
    let line = match command.iter().map(Words::shown).collect::<Vec<_>>()[..] {
        [shell, flag, line, ..] if SHELLS.contains(&shell) && flag.starts_with('-') && flag.ends_with('c') => {
            Some(line)
        }
        _ => None,
    };
    let script = body.script.as_ref().map(Words::shown);
    script.or(line).is_some_and(|text| !text.contains("DYBOX_RESULT"))
        && !texts(body).any(|words| words.shown().contains("DYBOX_RESULT"))
}
