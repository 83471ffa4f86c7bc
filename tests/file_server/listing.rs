//! Listings: what a browser is shown, and where its links lead.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::path::Place;
use crate::{Site, support};

#[test]
fn a_listing_is_a_page() {
    let _watchdog = support::watchdog();
    let Some(site) = Site::start(&[]) else { return };
    let dir = site.root.path().join("names");
    fs::create_dir(&dir).unwrap();
    let names: [&[u8]; 9] = [
        b"a b",
        b"<script>alert(1)</script>"
            .split(|b| *b == b'/')
            .next()
            .unwrap(),
        b"quote\"'&amp;",
        b"javascript:alert(1)",
        "grün ☃".as_bytes(),
        b"bad\xff\xfe",
        b"new\nline",
        b"100%",
        b"Upper?#",
    ];
    for (index, name) in names.iter().enumerate() {
        fs::write(dir.join(OsStr::from_bytes(name)), "x".repeat(100 * index)).unwrap();
    }
    fs::create_dir(dir.join("zdir")).unwrap();
    symlink("/etc/passwd", dir.join("leads out")).unwrap();
    fs::write(dir.join(".dot"), "").unwrap();

    let response = site.get("/names/");
    let page = response.text();
    assert_eq!(
        response.field("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.starts_with("<!doctype html>\n") && page.contains("<meta charset=\"utf-8\">"));
    assert!(!page.contains("<script") && !page.contains("leads out") && !page.contains(".dot"));
    assert!(page.contains("<a href=\"../\">") && page.contains("grün ☃"));
    assert!(page.contains("1 directory, 9 files"));
    check_markup(page);

    // Every link leads to what it says.
    let links = links(page);
    assert_eq!(links.len(), 10);
    assert_eq!(links[0], "./zdir/", "directories come first");
    for (index, name) in names.iter().enumerate() {
        let link = links.iter().find(|link| {
            let place = Place::of(&format!("/names/{}", &link[2..])).expect("a path");
            place.names[1] == *name
        });
        let link = link.unwrap_or_else(|| panic!("no link to {name:?}"));
        let file = site.get(&format!("/names/{}", &link[2..]));
        assert_eq!((file.status, file.body.len()), (200, 100 * index), "{link}");
    }
    // By size: the largest first.
    let sizes = site.get("/names/?sort=size");
    let by_size = self::links(sizes.text());
    assert_eq!(by_size[1], "./Upper%3F%23");
    assert_eq!(by_size[9], "./a%20b");
    let root = site.get("/");
    assert!(!root.text().contains("../"), "nothing above the root");
    check_markup(root.text());
    check_markup(site.get("/nope").text());
}

/// The targets of what the table lists.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("<td><a href=\"").skip(1);
    let targets = targets.map(|rest| rest.split('"').next().expect("quoted"));
    targets.filter(|target| *target != "../").collect()
}

/// Elements are closed in the order that they were opened in, and text has no markup of its own.
#[track_caller]
fn check_markup(page: &str) {
    const VOID: [&str; 1] = ["meta"];
    let rest = page.strip_prefix("<!doctype html>\n").expect("HTML");
    let mut open = Vec::new();
    for part in rest.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("the end of a tag");
        if open.last() != Some(&"style") || tag == "/style" {
            match tag.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None => {
                    let name = tag.split(' ').next().expect("a name");
                    assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "{tag}");
                    assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
                    if !VOID.contains(&name) {
                        open.push(name);
                    }
                }
            }
        }
        if open.last() != Some(&"style") {
            for entity in text.split('&').skip(1) {
                let name = entity.split(';').next().expect("an entity");
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "{text}");
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
