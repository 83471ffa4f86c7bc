//! Media types, by the ending of a name.

/// What a name's ending says; bytes, if it says nothing. Browsers are told not to guess.
pub(crate) fn of(name: &[u8]) -> &'static str {
    let ending = match name.iter().rposition(|&byte| byte == b'.') {
        // A name that begins with its only dot has no ending.
        Some(dot) if dot > 0 => &name[dot + 1..],
        _ => return UNKNOWN,
    };
    let ending = ending.to_ascii_lowercase();
    let found = TYPES
        .iter()
        .find(|(_, endings)| endings.iter().any(|this| this.as_bytes() == ending));
    found.map_or(UNKNOWN, |(kind, _)| kind)
}

pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// Text is said to be UTF-8, as it is nowadays.
#[rustfmt::skip]
const TYPES: [(&str, &[&str]); 45] = [
    ("text/html; charset=utf-8", &["html", "htm"]),
    ("text/css; charset=utf-8", &["css"]),
    ("text/javascript; charset=utf-8", &["js", "mjs"]),
    ("application/json", &["json", "map"]),
    ("text/plain; charset=utf-8", &[
        "txt", "text", "log", "rs", "toml", "lock", "c", "h", "cc", "cpp", "hpp", "py", "sh", "go", "java", "rb",
        "conf", "cfg", "ini", "yaml", "yml", "diff", "patch",
    ]),
    ("text/markdown; charset=utf-8", &["md", "markdown"]),
    ("text/csv; charset=utf-8", &["csv"]),
    ("text/xml; charset=utf-8", &["xml", "xsl"]),
    ("text/calendar; charset=utf-8", &["ics"]),
    ("application/xhtml+xml", &["xhtml"]),
    ("application/atom+xml", &["atom"]),
    ("application/rss+xml", &["rss"]),
    ("application/manifest+json", &["webmanifest"]),
    ("application/wasm", &["wasm"]),
    ("application/pdf", &["pdf"]),
    ("application/epub+zip", &["epub"]),
    ("application/zip", &["zip"]),
    ("application/gzip", &["gz", "tgz"]),
    ("application/x-bzip2", &["bz2"]),
    ("application/x-xz", &["xz"]),
    ("application/zstd", &["zst"]),
    ("application/x-tar", &["tar"]),
    ("application/x-7z-compressed", &["7z"]),
    ("image/png", &["png"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/gif", &["gif"]),
    ("image/webp", &["webp"]),
    ("image/avif", &["avif"]),
    ("image/bmp", &["bmp"]),
    ("image/tiff", &["tif", "tiff"]),
    ("image/svg+xml", &["svg"]),
    ("image/x-icon", &["ico"]),
    ("audio/mpeg", &["mp3"]),
    ("audio/mp4", &["m4a"]),
    ("audio/ogg", &["ogg", "oga", "opus"]),
    ("audio/flac", &["flac"]),
    ("audio/wav", &["wav"]),
    ("video/mp4", &["mp4", "m4v"]),
    ("video/webm", &["webm"]),
    ("video/ogg", &["ogv"]),
    ("video/x-matroska", &["mkv"]),
    ("font/woff", &["woff"]),
    ("font/woff2", &["woff2"]),
    ("font/ttf", &["ttf"]),
    ("font/otf", &["otf"]),
];
