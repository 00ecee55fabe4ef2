//! How a target is made: by a rule of its own, by a pattern, or as make knows by itself.

use super::function::stem;
use super::parse::{Makefile, Variable};

/// One rule of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    pub(super) targets: Vec<String>,
    /// `%.o` of `a.o b.o: %.o: %.c`.
    pub(super) pattern: Option<String>,
    pub(super) prerequisites: Vec<String>,
    pub(super) order_only: Vec<String>,
    /// Lines, each with its number.
    pub(super) recipe: Vec<(String, usize)>,
    pub(super) built_in: bool,
}

/// How one target is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Built {
    pub(super) prerequisites: Vec<String>,
    pub(super) order_only: Vec<String>,
    pub(super) recipe: Vec<(String, usize)>,
    /// `$*`
    pub(super) stem: String,
    pub(super) notes: Vec<String>,
}

impl Makefile {
    /// Variables and rules that make has by itself.
    pub(super) fn built_in(&mut self) {
        for (name, value) in [
            ("CC", "cc"),
            ("CXX", "c++"),
            ("AR", "ar"),
            ("RM", "rm -f"),
            ("MAKE", "make"),
            ("SHELL", ""),
            ("CURDIR", "."),
            ("MAKEFILE_LIST", "Makefile"),
            ("PWD", "."),
            ("HOME", "$$HOME"),
            ("USER", "$$USER"),
            ("ARFLAGS", "rv"),
        ] {
            self.variables.insert(name.to_owned(), Variable { text: value.to_owned(), ..Variable::default() });
        }
        for (from, command) in [
            ("%.c", "$(CC) $(CFLAGS) $(CPPFLAGS) -c -o $@ $<"),
            ("%.cc", "$(CXX) $(CXXFLAGS) $(CPPFLAGS) -c -o $@ $<"),
            ("%.cpp", "$(CXX) $(CXXFLAGS) $(CPPFLAGS) -c -o $@ $<"),
        ] {
            self.rules.push(Rule {
                targets: vec!["%.o".to_owned()],
                prerequisites: vec![from.to_owned()],
                recipe: vec![(command.to_owned(), 0)],
                built_in: true,
                ..Rule::default()
            });
        }
    }

    /// Targets with names of their own, in the order of the file.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        let named = |target: &&String| !target.contains('%') && !is_special(target);
        self.rules
            .iter()
            .filter(|rule| !rule.built_in)
            .flat_map(move |rule| rule.targets.iter().filter(named))
            .map(String::as_str)
    }

    pub(super) fn knows(&self, target: &str) -> bool {
        self.targets().any(|known| known == target) || self.how(target).is_some()
    }

    /// `.DEFAULT_GOAL`, or the first target.
    pub(super) fn default_goal(&self) -> Option<String> {
        let set = self.variables.get(".DEFAULT_GOAL").map(|variable| variable.text.trim().to_owned());
        set.filter(|goal| !goal.is_empty())
            .or_else(|| self.targets().find(|name| !name.starts_with('.')).map(str::to_owned))
    }

    /// How a target is made; nothing where it is a file that must be there.
    pub(super) fn how(&self, target: &str) -> Option<Built> {
        let mut built = Built::default();
        let mut found = false;
        for rule in self.rules.iter().filter(|rule| rule.targets.iter().any(|known| known == target)) {
            found = true;
            let stem = rule.pattern.as_deref().and_then(|pattern| stem(pattern, target)).unwrap_or_default();
            built.take(rule, stem);
        }
        if built.recipe.is_empty() && !self.is_phony(target) {
            found |= self.by_pattern(target, &mut built);
        }
        found.then(|| built.known_files())
    }

    fn is_phony(&self, target: &str) -> bool {
        let phony = self.rules.iter().filter(|rule| rule.targets.iter().any(|name| name == ".PHONY"));
        phony.flat_map(|rule| &rule.prerequisites).any(|name| name == target)
    }

    /// The pattern with the shortest stem, one of the file before one of make's own.
    fn by_pattern(&self, target: &str, built: &mut Built) -> bool {
        let mut best: Option<(bool, usize, &Rule)> = None;
        for rule in self.rules.iter().filter(|rule| !rule.recipe.is_empty()) {
            for pattern in rule.targets.iter().map(|name| suffix_rule(name, rule).unwrap_or_else(|| name.clone())) {
                let Some(stem) = stem(&pattern, target).filter(|stem| pattern.contains('%') && !stem.is_empty()) else {
                    continue;
                };
                // A target without a rule of its own that make would only guess at is a file.
                if pattern == "%" && built.prerequisites.is_empty() {
                    continue;
                }
                let better = best.is_none_or(|(own, len, _)| (rule.built_in, stem.len()) < (own, len));
                if better {
                    best = Some((rule.built_in, stem.len(), rule));
                    built.stem = stem.to_owned();
                }
            }
        }
        let Some((built_in, _, rule)) = best else { return false };
        let stem = built.stem.clone();
        let own = suffix_source(rule);
        let mut rule = rule.clone();
        rule.prerequisites.splice(0..0, own);
        if built_in {
            built.notes.push("by a rule that make has itself; the source may end in .cc or .cpp".to_owned());
        }
        let mut explicit = std::mem::take(&mut built.prerequisites);
        built.take(&rule, &stem);
        built.prerequisites.append(&mut explicit);
        true
    }
}

impl Built {
    fn take(&mut self, rule: &Rule, stem: &str) {
        let put = |name: &String| name.replacen('%', stem, 1);
        let pattern = rule.pattern.is_some() || !stem.is_empty();
        let names = |list: &[String]| {
            list.iter().map(|name| if pattern { put(name) } else { name.clone() }).collect::<Vec<_>>()
        };
        self.prerequisites.extend(names(&rule.prerequisites));
        self.order_only.extend(names(&rule.order_only));
        if !rule.recipe.is_empty() {
            self.recipe.clone_from(&rule.recipe);
            self.stem = stem.to_owned();
        }
    }

    /// Names that only the file system knows are no targets.
    fn known_files(mut self) -> Self {
        let unknown = |name: &String| name.contains(['*', '?', '[']) || super::expand::is_open(name);
        if self.prerequisites.iter().any(unknown) {
            self.notes
                .push("which files it is made of is found in the file system; only named ones are needs".to_owned());
            self.prerequisites.retain(|name| !unknown(name));
        }
        self
    }
}

/// `.PHONY`, `.SUFFIXES`: make's own words.
fn is_special(target: &str) -> bool {
    target.strip_prefix('.').is_some_and(|rest| rest.chars().next().is_some_and(|c| c.is_ascii_uppercase()))
        || (target.starts_with('.') && target.matches('.').count() == 2 && !target.contains('/'))
}

/// `%.o` for the old form `.c.o:`.
fn suffix_rule(target: &str, rule: &Rule) -> Option<String> {
    let (_, to) = target.strip_prefix('.')?.split_once('.')?;
    (rule.prerequisites.is_empty() && !to.contains('/')).then(|| format!("%.{to}"))
}

/// `%.c` for the old form `.c.o:`.
fn suffix_source(rule: &Rule) -> Vec<String> {
    let from = |target: &String| {
        suffix_rule(target, rule)?;
        target.strip_prefix('.')?.split_once('.').map(|(from, _)| format!("%.{from}"))
    };
    rule.targets.iter().filter_map(from).take(1).collect()
}
