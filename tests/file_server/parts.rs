//! Paths and ranges by themselves, without a server.

use proptest::prelude::*;

use crate::path::{Fault, Place};
use crate::range::{self, Wanted};
use crate::support;

#[test]
fn paths_mean_places() {
    let names = |path| Place::of(path).map(|place| place.names);
    let none: [&[u8]; 0] = [];
    assert_eq!(names("/").unwrap(), none);
    assert_eq!(names("//a///b/").unwrap(), [b"a", b"b"]);
    assert_eq!(
        names("/a%20b/%C3%BC").unwrap(),
        [&b"a b"[..], "ü".as_bytes()]
    );
    assert_eq!(names("/a+b").unwrap(), [b"a+b"]);
    assert_eq!(names("/%252e").unwrap(), [b"%2e"], "decoded once");
    assert_eq!(names("/...").unwrap(), [b"..."]);
    for (path, fault) in [
        ("/..", Fault::Dots),
        ("/%2e", Fault::Dots),
        ("/a/%2E%2e/b", Fault::Dots),
        ("/%2f", Fault::Slash),
        ("/%", Fault::Malformed),
        ("/%a", Fault::Malformed),
        ("/%+1", Fault::Malformed),
        ("/%00", Fault::Malformed),
    ] {
        assert_eq!(Place::of(path), Err(fault), "{path}");
    }
    assert!(Place::of("/a/.git/b").unwrap().is_hidden());
    assert!(Place::of("/a/").unwrap().join(b".b").is_hidden());
}

proptest! {
    #![proptest_config(support::proptest_config(500))]

    #[test]
    fn every_name_has_a_path(names in prop::collection::vec(prop::collection::vec(1_u8.., 1..12), 0..5)) {
        let is_name = |name: &Vec<u8>| !name.contains(&b'/') && name != b"." && name != b"..";
        prop_assume!(names.iter().all(is_name));
        let place = Place { names, slash: true };
        prop_assert_eq!(Place::of(&place.url()), Ok(place.clone()));
        prop_assert!(place.relative().is_relative());
    }

    #[test]
    fn parts_are_parts(text in "bytes=[0-9,\\- ]{0,24}", length in 0_u64..50) {
        if let Wanted::Parts(parts) = range::parse(&text, length) {
            prop_assert!(!parts.is_empty());
            for part in &parts {
                prop_assert!(part.start < part.end && part.end <= length, "{:?}", part);
            }
            let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
            prop_assert!(total <= length);
        }
    }
}

#[test]
fn too_many_ranges_are_the_whole() {
    let ranges = |n: u64| {
        let ranges: Vec<String> = (0..n).map(|i| format!("{}-{}", 2 * i, 2 * i)).collect();
        range::parse(&format!("bytes={}", ranges.join(",")), 1000)
    };
    assert!(matches!(ranges(16), Wanted::Parts(parts) if parts.len() == 16));
    assert_eq!(ranges(17), Wanted::Whole);
}
