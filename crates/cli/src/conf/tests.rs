use std::collections::BTreeMap;
use std::path::Path;

use super::*;

fn conf(file: &str, env: &[(&str, &str)], global: &Global) -> Result<Conf, Failure> {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    let get = |name: &str| env.get(name).map(|&text| text.to_owned());
    let mut all = Layer::file(Path::new("dybox.toml"), file)?;
    all.cover(Layer::environment(get));
    all.cover(flags(global));
    Conf::understand(all, get, None, Vec::new())
}

#[test]
fn a_later_layer_wins_and_says_so() {
    let file = "# mine\nhome = \"/file\"\ncpus = 2\nmemory = \"4GiB\"\n";
    let global = Global { home: Some("/flag".into()), ..Global::default() };
    let conf = conf(file, &[("DYBOX_CPUS", "1.5"), ("HOME", "/root")], &global).unwrap();
    assert_eq!((conf.home.value.to_str(), conf.home.from.as_str()), (Some("/flag"), "--home"));
    assert_eq!((conf.cpus.value, conf.cpus.from.as_str()), (Some(1500), "$DYBOX_CPUS"));
    assert_eq!((conf.memory.value, conf.memory.from.as_str()), (Some(4 << 30), "dybox.toml:4"));
    assert_eq!((conf.color.value, conf.color.from.as_str()), (ColorChoice::Auto, "default"));
}

#[test]
fn the_home_is_the_users_data_directory() {
    let home = |env: &[(&str, &str)]| conf("", env, &Global::default()).map(|conf| conf.home.value);
    assert_eq!(home(&[("HOME", "/home/a")]).unwrap(), Path::new("/home/a/.local/share/dybox"));
    assert_eq!(home(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/d")]).unwrap(), Path::new("/d/dybox"));
    assert_eq!(home(&[]).unwrap_err().next.as_deref(), Some("set DYBOX_HOME to a directory of yours"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    let failure = conf("color = \"never\"\nmemroy = \"1GiB\"\n", &[], &Global::default()).unwrap_err();
    assert_eq!(failure.place.as_deref(), Some("dybox.toml:2"));
    assert_eq!(failure.what, "unknown key \"memroy\" in the configuration");
    assert_eq!(failure.next.as_deref(), Some("did you mean \"memory\"?"));
    assert_eq!(failure.exit, dybox_model::ExitCode::Invalid);
}

#[test]
fn what_is_no_toml_is_shown_with_line_and_column() {
    let failure = conf("color = \"never\"\nhome = = 1\n", &[], &Global::default()).unwrap_err();
    assert_eq!(failure.place.as_deref(), Some("dybox.toml:2:8"));
}

#[test]
fn wrong_values_say_what_is_right() {
    let why = |file: &str| conf(file, &[("HOME", "/h")], &Global::default()).unwrap_err().why.clone().unwrap();
    assert_eq!(why("memory = 512"), "a unit is missing: write \"512MiB\" or \"512GiB\"");
    assert_eq!(why("memory = \"5 apples\""), "the units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB");
    assert_eq!(why("cpus = nan"), "write a number of cpus above 0, like 4 or 0.5");
    assert_eq!(why("color = \"blue\""), "it is one of auto, always, never");
}
