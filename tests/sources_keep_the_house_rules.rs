//! What ARCHITECTURE.md says of the sources, as far as a machine can check it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the ground up. One of a line may use those of the lines above it, and itself.
const LAYERS: [&[&str]; 12] = [
    &["limits", "meter", "slots"],
    &["buffer", "timer"],
    &["codec"],
    &["io"],
    &["runtime"],
    &["error", "net", "protobuf", "resp"],
    &["connection", "framed", "signal"],
    &["http"],
    &["files", "metrics"],
    &["client", "group"],
    &["server"],
    &["redis", "websocket"],
];
/// Uses that the layers do not explain, each with its reason.
const EXCEPTIONS: [(&str, &str); 1] = [
    ("net", "error"), // sockets for datagrams are held by users, and return their error
];
/// The files that may contain unsafe code.
const UNSAFE: [&str; 1] = ["io/poller/portable.rs"];
/// A file longer than this is not read in a sitting.
const LINES: usize = 400;

/// Every source of the library but its unit tests, by its path below `src`.
fn sources() -> BTreeMap<String, String> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut found);
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let sources = found.iter().filter(|path| !path.ends_with("tests.rs"));
    sources.map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The code without comments and unit tests.
fn code(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files_with(word: &str) -> Vec<String> {
    sources().into_iter().filter(|(_, source)| code(source).contains(word)).map(|(name, _)| name).collect()
}

fn layer(room: &str) -> usize {
    LAYERS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("the room {room} has no layer"))
}

#[test]
fn rooms_use_only_rooms_below_them() {
    for (name, source) in sources() {
        let room = name.split(['/', '.']).next().unwrap().to_owned();
        if room == "lib" {
            continue;
        }
        for used in code(&source).split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // `crate::Result` and the like are re-exports of what `error` and `connection` hold.
            let is_room = used.starts_with(char::is_lowercase);
            let allowed = !is_room
                || used == room
                || layer(&used) < layer(&room)
                || EXCEPTIONS.contains(&(room.as_str(), used.as_str()));
            assert!(allowed, "{name} uses {used}, which is not below it");
        }
    }
}

#[test]
fn files_are_read_in_a_sitting() {
    for (name, source) in sources() {
        let lines = source.lines().count();
        assert!(lines <= LINES, "{name} has {lines} lines");
    }
}

#[test]
fn one_room_waits_one_file_reads_the_clock_one_thread_local_names_the_core() {
    assert!(files_with("polling::").iter().all(|name| name.starts_with("io/poller/")));
    assert_eq!(files_with("Instant::now"), ["io/clock.rs"]);
    assert_eq!(files_with("thread_local!"), ["runtime/current.rs"]);
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    assert_eq!(files_with("unsafe {"), UNSAFE);
    assert_eq!(files_with("allow(unsafe_code)"), UNSAFE);
    assert!(files_with("unsafe fn").is_empty() && files_with("unsafe impl").is_empty());
}

#[test]
fn the_library_prints_nothing_and_leaves_nothing_undone() {
    for word in ["println!", "dbg!", "todo!", "unimplemented!", "FIXME", "TODO"] {
        assert!(files_with(word).is_empty(), "{word} in {:?}", files_with(word));
    }
}
