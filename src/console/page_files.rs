//! Files of the page, which are part of the binary.

/// A file of the page.
#[derive(Debug)]
pub struct PageFile {
    pub name: &'static str,
    pub media_type: &'static str,
    pub content: &'static [u8],
}

macro_rules! page_files {
    ($($name:literal: $media_type:literal,)*) => {
        &[$(PageFile { name: $name, media_type: $media_type, content: include_bytes!(concat!("page/", $name)) },)*]
    };
}

/// All files of the page. The folder is flat, so that the last part of a path names a file behind any reverse proxy.
pub const PAGE_FILES: &[PageFile] = page_files! {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "main.js": "text/javascript; charset=utf-8",
    "geometry.js": "text/javascript; charset=utf-8",
    "runs.js": "text/javascript; charset=utf-8",
    "keys.js": "text/javascript; charset=utf-8",
    "link.js": "text/javascript; charset=utf-8",
    "search.js": "text/javascript; charset=utf-8",
    "stage.js": "text/javascript; charset=utf-8",
    "state.js": "text/javascript; charset=utf-8",
    "tools.js": "text/javascript; charset=utf-8",
    "gestures.js": "text/javascript; charset=utf-8",
    "brush.js": "text/javascript; charset=utf-8",
    "objects.js": "text/javascript; charset=utf-8",
    "panels.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
};

/// Page for a browser without a token. It needs no other file.
pub const LOGIN: &str = include_str!("page/login.html");

/// Returns the file that the last part of a path names; the page itself for a path that ends with a slash.
pub fn page_file(path: &str) -> Option<&'static PageFile> {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html");
    PAGE_FILES.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/page");
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut served: Vec<_> = PAGE_FILES.iter().map(|file| file.name.to_owned()).collect();
        served.push("login.html".into());
        served.sort();
        assert_eq!(names, served);
    }

    #[test]
    fn a_path_prefix_does_not_matter() {
        for path in ["/", "/robot/7/", "/index.html", "/a/b/index.html"] {
            assert_eq!(page_file(path).map(|file| file.name), Some("index.html"), "{path}");
        }
        assert_eq!(page_file("/robot/style.css").map(|file| file.name), Some("style.css"));
        for path in ["/robot", "/etc/passwd", "/../Cargo.toml", "/style.css/x"] {
            assert!(page_file(path).is_none(), "{path}");
        }
    }

    /// Returns the relative luminance of a colour such as `#0b63b5`, as WCAG defines it.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let level = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if level <= 0.040_45 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn texts_have_the_contrast_of_wcag_aa_in_light_and_dark() {
        let style = std::str::from_utf8(page_file("/style.css").unwrap().content).unwrap();
        let colour = |name: &str, scheme: usize| {
            let pair = style.split(&format!("--{name}: light-dark(")).nth(1).and_then(|rest| rest.split(')').next());
            pair.and_then(|pair| pair.split(", ").nth(scheme)).unwrap_or_else(|| panic!("no colour {name}"))
        };
        let texts = ["text", "soft", "accent", "ok", "warn", "bad"];
        let pairs = texts.iter().flat_map(|text| ["ground", "panel", "raised"].map(|ground| (*text, ground)));
        for (text, ground) in pairs.chain([("on-accent", "accent")]) {
            for scheme in [0, 1] {
                let (a, b) = (luminance(colour(text, scheme)), luminance(colour(ground, scheme)));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}, expected at least 4.5");
            }
        }
    }

    #[test]
    fn the_page_is_complete_without_a_network_and_has_no_inline_script() {
        for file in PAGE_FILES {
            let text = std::str::from_utf8(file.content).unwrap();
            let addresses = text.matches("://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, 0, "{} names another host", file.name);
            assert!(!text.contains("<script>") && !text.contains(" onclick="), "{}", file.name);
        }
    }
}
