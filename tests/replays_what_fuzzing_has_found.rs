//! The corpora of the fuzz targets, replayed: what they once found stays mended.
#![cfg(all(feature = "http", feature = "protobuf", feature = "resp", feature = "websocket"))]

#[path = "fuzz/harness.rs"]
mod harness;

use std::fs;
use std::path::Path;

#[test]
fn no_input_of_any_corpus_is_taken_differently_in_pieces() {
    for (name, target) in harness::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut replayed = 0;
        for input in inputs {
            target(&fs::read(input.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}
