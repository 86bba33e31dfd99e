//! Files of `src` import each other in one direction only.
//!
//! The check reads every file with `syn` and follows each path (`use` lines, types, calls) to the file that defines the
//! name. A re-export (`pub use`) is a sign on a door: a path through it leads to the file behind it. Test modules may import
//! anything and are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Path of a module below the crate's root, for example `["engine", "worker"]`.
type ModulePath = Vec<String>;

/// One module: a file, or a block inside a file.
struct Module {
    file: PathBuf,
    /// Names of the items that the module defines, its child modules excluded.
    items: BTreeSet<String>,
    /// Names that `use` lines bring in, with the paths they come from and whether the line is a re-export.
    imports: BTreeMap<String, (Vec<String>, bool)>,
    /// Modules whose names come in through `use path::*`.
    globs: Vec<Vec<String>>,
    /// Every other path in the module: types, calls, patterns, macros excluded.
    paths: Vec<Vec<String>>,
}

/// All modules of a crate, test modules excluded.
struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

impl Crate {
    /// Reads the crate whose root file is `root`.
    fn read(root: &Path) -> Self {
        let mut parsed = Crate { modules: BTreeMap::new() };
        let folder = root.parent().unwrap().to_path_buf();
        parsed.read_file(root, &folder, Vec::new());
        parsed
    }

    fn read_file(&mut self, file: &Path, folder: &Path, path: ModulePath) {
        let source = std::fs::read_to_string(file).unwrap();
        let syntax = syn::parse_file(&source).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.read_items(&syntax.items, file, folder, path);
    }

    /// `folder` holds the files of the module's children.
    fn read_items(&mut self, items: &[syn::Item], file: &Path, folder: &Path, path: ModulePath) {
        let mut module = Module {
            file: file.to_path_buf(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        };
        for item in items {
            match item {
                syn::Item::Mod(child) if is_test(&child.attrs) => {}
                syn::Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let child_folder = folder.join(&name);
                    let child_path: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
                    match &child.content {
                        Some((_, items)) => self.read_items(items, file, &child_folder, child_path),
                        None => {
                            let beside = folder.join(format!("{name}.rs"));
                            let inside = child_folder.join("mod.rs");
                            let child_file = if beside.exists() { beside } else { inside };
                            self.read_file(&child_file, &child_folder, child_path);
                        }
                    }
                }
                syn::Item::Use(line) => {
                    let exported = !matches!(line.vis, syn::Visibility::Inherited);
                    flatten(&line.tree, &mut Vec::new(), &mut |name, path| match name {
                        Some(name) => {
                            module.imports.insert(name, (path, exported));
                        }
                        None => module.globs.push(path),
                    });
                }
                other => {
                    if is_test(attributes(other)) {
                        continue;
                    }
                    module.items.extend(name_of(other));
                    Paths(&mut module.paths).visit_item(other);
                }
            }
        }
        self.modules.insert(path, module);
    }

    /// The file that defines what `path` names when it is written in module `from`.
    fn definition(&self, from: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.below(&[], rest, depth),
            "self" => self.below(from, rest, depth),
            "super" => self.below(from.split_last()?.1, rest, depth),
            _ => self.below(from, path, depth),
        }
    }

    /// The same for a path that begins inside module `within`.
    fn below(&self, within: &[String], path: &[String], depth: usize) -> Option<&Path> {
        let module = self.modules.get(within)?;
        let Some((first, rest)) = path.split_first() else { return Some(&module.file) };
        if depth > 16 {
            return None; // a name that is imported from itself
        }
        if first == "super" {
            return self.below(within.split_last()?.1, rest, depth + 1);
        }
        if module.items.contains(first) {
            return Some(&module.file);
        }
        let child: ModulePath = within.iter().chain([first]).cloned().collect();
        if self.modules.contains_key(&child) {
            return self.below(&child, rest, depth + 1);
        }
        if let Some((target, _)) = module.imports.get(first) {
            let whole: Vec<String> = target.iter().chain(rest).cloned().collect();
            return self.definition(within, &whole, depth + 1);
        }
        module.globs.iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
            self.definition(within, &whole, depth + 1)
        })
    }

    /// For each file the files that it imports.
    fn imports(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut imports: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for (path, module) in &self.modules {
            let private = module.imports.values().filter(|(_, exported)| !exported).map(|(target, _)| target);
            let targets = private.chain(&module.paths).filter_map(|target| self.definition(path, target, 0));
            let entry = imports.entry(module.file.as_path()).or_default();
            entry.extend(targets.filter(|file| *file != module.file));
        }
        imports
    }
}

/// Sets of files that import each other in a circle: the strongly connected components of more than one file.
fn circles<'a>(imports: &BTreeMap<&'a Path, BTreeSet<&'a Path>>) -> Vec<Vec<&'a Path>> {
    let reachable = |from: &'a Path| {
        let mut seen: BTreeSet<&Path> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for next in imports.get(file).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = imports.keys().map(|file| (*file, reachable(file))).collect();
    let mut found: BTreeSet<Vec<&Path>> = BTreeSet::new();
    for (file, from) in &reach {
        if from.contains(file) {
            found.insert(from.iter().copied().filter(|other| reach[other].contains(file)).collect());
        }
    }
    found.into_iter().collect()
}

/// The circles in words, with the imports that make them.
fn describe(root: &Path) -> String {
    let parsed = Crate::read(root);
    let imports = parsed.imports();
    let short = |file: &Path| file.strip_prefix(root.parent().unwrap()).unwrap().display().to_string();
    let mut text = String::new();
    for circle in circles(&imports) {
        text += &format!("a circle of {} files:\n", circle.len());
        for file in &circle {
            let within: Vec<String> = imports[file].iter().filter(|f| circle.contains(f)).map(|f| short(f)).collect();
            text += &format!("  {} imports {}\n", short(file), within.join(", "));
        }
    }
    text
}

/// Whether an item is compiled for tests alone.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        meta => meta.path().is_ident("test"),
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Calls `each` with every name that a `use` tree brings in (`None` for `*`) and the path it comes from.
fn flatten(tree: &syn::UseTree, before: &mut Vec<String>, each: &mut impl FnMut(Option<String>, Vec<String>)) {
    let joined = |last: &syn::Ident, before: &[String]| -> Vec<String> {
        let last = last.to_string();
        // `use path::{self}` names the module.
        if last == "self" { before.to_vec() } else { before.iter().cloned().chain([last]).collect() }
    };
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, each);
            before.pop();
        }
        syn::UseTree::Name(name) => {
            let path = joined(&name.ident, before);
            each(path.last().cloned(), path);
        }
        syn::UseTree::Rename(name) => each(Some(name.rename.to_string()), joined(&name.ident, before)),
        syn::UseTree::Glob(_) => each(None, before.clone()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, each)),
    }
}

/// Collects the paths of an item.
struct Paths<'a>(&'a mut Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// The path in `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_use(&mut self, line: &'ast syn::ItemUse) {
        flatten(&line.tree, &mut Vec::new(), &mut |_, path| self.0.push(path));
    }
}

#[test]
fn files_import_each_other_in_one_direction() {
    let circles = describe(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")));
    assert!(circles.is_empty(), "{circles}");
}

#[test]
fn the_command_line_tool_imports_in_one_direction() {
    let circles = describe(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/promptseg/main.rs")));
    assert!(circles.is_empty(), "{circles}");
}

/// Writes the files of a small crate and returns its circles in words.
fn circles_of(name: &str, files: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import_circles").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    for (file, text) in files {
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    describe(&folder.join("lib.rs"))
}

#[test]
fn a_circle_is_found() {
    let two = circles_of(
        "two",
        &[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use super::a::A; pub struct B(Box<A>);"),
        ],
    );
    assert!(two.contains("a.rs imports b.rs") && two.contains("b.rs imports a.rs"), "{two}");

    let through_a_re_export = circles_of(
        "re_export",
        &[
            ("lib.rs", "mod room; mod b;"),
            ("room/mod.rs", "mod a; pub use a::A;"),
            ("room/a.rs", "pub struct A(crate::b::B);"),
            ("b.rs", "use crate::room::{self, A}; pub struct B(Box<A>); fn f() { room::A::new(); }"),
        ],
    );
    assert!(through_a_re_export.contains("room/a.rs imports b.rs"), "{through_a_re_export}");
    assert!(!through_a_re_export.contains("mod.rs"), "a re-export is no import: {through_a_re_export}");

    let parent_and_child = circles_of(
        "parent",
        &[
            ("lib.rs", "mod room;"),
            ("room/mod.rs", "mod a; pub struct Settings; pub fn run() { a::run() }"),
            ("room/a.rs", "use super::Settings; pub fn run() { let _ = Settings; }"),
        ],
    );
    assert!(parent_and_child.contains("room/a.rs imports room/mod.rs"), "{parent_and_child}");

    let of_three_with_a_glob = circles_of(
        "three",
        &[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::*; pub fn a() { b() }"),
            ("b.rs", "pub fn b() { crate::c::c() }"),
            ("c.rs", "pub fn c() { use crate::a::a; a() }"),
        ],
    );
    assert!(of_three_with_a_glob.starts_with("a circle of 3 files"), "{of_three_with_a_glob}");
}

#[test]
fn one_direction_is_no_circle() {
    let none = circles_of(
        "none",
        &[
            ("lib.rs", "mod a; mod room; pub use a::A;"),
            ("a.rs", "use crate::room::B; pub struct A(B); #[cfg(test)] mod tests { use super::A; }"),
            ("room/mod.rs", "mod b; #[cfg(test)] mod tests; pub use b::B;"),
            ("room/b.rs", "use std::path::Path; pub struct B; impl B { pub(super) fn f(_: &Path) {} }"),
            ("room/tests.rs", "use crate::a::A; fn f(_: A) {}"),
        ],
    );
    assert_eq!(none, "");
}
