//! Which file gives a unit which variable: read from the files themselves, for systemd only says what they come to.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use aiplat_core::observed::{Layer, ObservedUnit};

/// More is no configuration.
const SIZE_MAX: u64 = 1 << 20;
/// More drop-ins of one unit are not read.
const FILES_MAX: usize = 64;
/// A disk that does not answer costs no more than this.
const DEADLINE: Duration = Duration::from_secs(2);

/// What one file of a unit says of its environment, in order.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Variables(Vec<(String, String)>),
    /// Everything before is void.
    NoVariables,
    File(String),
    /// Everything before is void.
    NoFiles,
}

/// The layers of `unit`, whose properties are known, the strongest last; none where its files cannot be read in time. With them,
/// the last file that makes void which files the earlier ones name. `units` is where administrators lay theirs.
pub(super) async fn read(unit: &ObservedUnit, name: &str, units: &Path) -> (Vec<Layer>, Option<String>) {
    let files = files(unit, units.join(format!("{name}.d")));
    let (environment, named) = (unit.environment.clone(), unit.environment_files.clone());
    let read = tokio::task::spawn_blocking(move || layers(&files, &environment, &named));
    match tokio::time::timeout(DEADLINE, read).await {
        Ok(Ok(layers)) => layers,
        Ok(Err(_)) | Err(_) => (Vec::new(), None),
    }
}

/// The unit's own file, and its drop-ins by name. Those that systemd has not read yet are among them: it will with the next
/// reload, whoever wants it.
fn files(unit: &ObservedUnit, folder: PathBuf) -> Vec<PathBuf> {
    let by_name = |path: PathBuf| Some((path.file_name()?.to_owned(), path));
    let mut drop_ins: BTreeMap<_, _> = unit.drop_ins.iter().map(PathBuf::from).filter_map(by_name).collect();
    let unread = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    drop_ins
        .extend(unread.filter(|path| path.extension().is_some_and(|it| it == "conf")).filter_map(by_name));
    let own = Some(PathBuf::from(&unit.fragment)).filter(|path| path.is_absolute());
    own.into_iter().chain(drop_ins.into_values()).take(FILES_MAX).collect()
}

fn layers(
    files: &[PathBuf],
    environment: &BTreeMap<String, String>,
    named: &[String],
) -> (Vec<Layer>, Option<String>) {
    let mut void_in = None;
    let mut inline: Vec<Layer> = Vec::new();
    let mut from_files: Vec<Layer> = Vec::new();
    for path in files {
        let by = path.display().to_string();
        let mut variables = BTreeMap::new();
        for said in text(path).map(|text| service(&text)).unwrap_or_default() {
            match said {
                Said::Variables(pairs) => variables.extend(pairs),
                Said::NoVariables => {
                    variables.clear();
                    inline.clear();
                }
                Said::File(path) => {
                    from_files.push(Layer { path, named_in: Some(by.clone()), variables: BTreeMap::new() });
                }
                Said::NoFiles => {
                    from_files.clear();
                    void_in = Some(by.clone());
                }
            }
        }
        if !variables.is_empty() {
            inline.push(Layer { path: by, named_in: None, variables });
        }
    }
    // As systemd has read them: what stands for something else (`%h`) is in its place. Not where the files are others by now.
    if named.len() == from_files.len() {
        from_files.iter_mut().zip(named).for_each(|(layer, path)| layer.path.clone_from(path));
    }
    expand(&mut inline, environment);
    for layer in &mut from_files {
        layer.variables = text(Path::new(&layer.path)).map(|text| variables(&text)).unwrap_or_default();
    }
    inline.extend(from_files);
    (inline, void_in)
}

/// A value with `%` in it is as systemd has it, in the last file that sets it.
fn expand(inline: &mut [Layer], environment: &BTreeMap<String, String>) {
    for (name, value) in environment {
        let last = inline.iter_mut().rev().find_map(|layer| layer.variables.get_mut(name));
        if let Some(written) = last.filter(|written| written.contains('%')) {
            written.clone_from(value);
        }
    }
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The `[Service]` section of a unit's file, as man 7 `systemd.syntax` reads it.
fn service(text: &str) -> Vec<Said> {
    let mut said = Vec::new();
    let mut is_service = false;
    for line in lines(text) {
        if let Some(section) = line.strip_prefix('[') {
            is_service = section.strip_suffix(']') == Some("Service");
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_service) else { continue };
        match (key.trim_end(), value.trim_start()) {
            ("Environment", "") => said.push(Said::NoVariables),
            ("Environment", value) => {
                let pairs = words(value).into_iter();
                let pair =
                    |word: String| Some(word.split_once('=')?).map(|(a, b)| (a.to_owned(), b.to_owned()));
                said.push(Said::Variables(pairs.filter_map(pair).collect()));
            }
            ("EnvironmentFile", "") => said.push(Said::NoFiles),
            ("EnvironmentFile", path) => {
                said.push(Said::File(path.strip_prefix('-').unwrap_or(path).to_owned()));
            }
            (_, _) => {}
        }
    }
    said
}

/// Lines without comments; one that ends in a backslash goes on in the next.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let whole = open.take().unwrap_or_default() + line;
        match whole.strip_suffix('\\') {
            Some(beginning) => open = Some(format!("{beginning} ")),
            None => lines.push(whole.trim().to_owned()),
        }
    }
    lines.extend(open);
    lines
}

/// Words of a line, with quotes and the usual escapes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                let Some(next) = chars.next() else { break };
                word.get_or_insert_default().push(match next {
                    'n' => '\n',
                    't' => '\t',
                    's' => ' ',
                    other => other,
                });
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The variables of a file that `EnvironmentFile=` names, as man 5 `systemd.exec` reads it.
fn variables(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.trim_start();
        if rest.starts_with(['#', ';']) {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let Some((name, after)) = rest.split_once(['=', '\n']) else { break };
        if rest.as_bytes().get(name.len()) == Some(&b'\n') {
            // A line without a value.
            rest = after;
            continue;
        }
        let (value, after) = value(after);
        variables.insert(name.trim().to_owned(), value);
        rest = after;
    }
    variables
}

/// One value, and what stands behind its line. Quotes may begin anywhere in it, and hold line breaks; a backslash outside of
/// them takes the next character as it is, and a line break away.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    // Blanks at the end of the line are no part of it, those in quotes are.
    let mut kept = 0;
    let mut quote = None;
    let text = text.trim_start_matches([' ', '\t']);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\n', None) => {
                value.truncate(kept);
                return (value, &text[at + 1..]);
            }
            ('\\', None) => {
                let next = chars.next().map(|(_, next)| next).filter(|next| *next != '\n');
                value.extend(next);
                kept = value.len();
            }
            ('\\', Some('"')) => match chars.next() {
                Some((_, next @ ('"' | '\\' | '`' | '$'))) => value.push(next),
                Some((_, '\n')) | None => {}
                Some((_, next)) => value.extend(['\\', next]),
            },
            (c, Some(open)) if c == open => {
                quote = None;
                kept = value.len();
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, _) => {
                value.push(c);
                if quote.is_some() || !c.is_whitespace() {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_units_file_is_read_for_its_environment() {
        let text = "[Unit]\nEnvironment=NOT=here\n[Service]\n# Environment=NOR=here\nEnvironment=\"A=one two\" B=2 'C=x\\ny'\n\
                    Environment = D=1 \\\n  ; in between\n  E=2\nEnvironmentFile=-/etc/default/x\nEnvironment=\n\
                    EnvironmentFile=\nExecStart=/bin/true\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            service(text),
            [
                Said::Variables(vec![pair("A", "one two"), pair("B", "2"), pair("C", "x\ny")]),
                Said::Variables(vec![pair("D", "1"), pair("E", "2")]),
                Said::File("/etc/default/x".to_owned()),
                Said::NoVariables,
                Said::NoFiles,
            ]
        );
    }

    #[test]
    fn an_environment_file_is_read_as_we_and_others_write_it() {
        let ours = "A=\"a \\\"b\\\" \\$c \\`d\\` \\\\e # f\"\nB=\"two\nlines\"\n";
        assert_eq!(variables(ours), map([("A", "a \"b\" $c `d` \\e # f"), ("B", "two\nlines")]));
        let theirs = "# comment\n\n;another\nPLAIN=x y  \nEMPTY=\n  SPACED = z\nnothing\nONE='a$b'\"c\"d\nLONG=a\\\nb\nLAST=e";
        let expected = [
            ("PLAIN", "x y"),
            ("EMPTY", ""),
            ("SPACED", "z"),
            ("ONE", "a$bcd"),
            ("LONG", "ab"),
            ("LAST", "e"),
        ];
        assert_eq!(variables(theirs), map(expected));
    }

    #[tokio::test]
    async fn files_come_after_what_is_set_at_once_and_drop_ins_go_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let env = write("x.env", "A=4\n");
        let vendor =
            write("vendor/x.service", "[Service]\nEnvironment=A=1 HOME=%h\nEnvironmentFile=-/absent\n");
        let shipped = write("vendor/x.service.d/20-b.conf", "[Service]\nEnvironment=A=2\n");
        let unread = write(
            "etc/x.service.d/10-a.conf",
            &format!("[Service]\nEnvironment=A=3\nEnvironmentFile={env}\n"),
        );
        write("etc/x.service.d/notes.txt", "[Service]\nEnvironment=A=9\n");
        let unit = ObservedUnit {
            fragment: vendor.clone(),
            drop_ins: vec![shipped.clone()],
            environment: map([("A", "2"), ("HOME", "/root")]),
            ..ObservedUnit::default()
        };
        let layer = |path: &str, by: Option<&str>, variables| Layer {
            path: path.to_owned(),
            named_in: by.map(str::to_owned),
            variables,
        };
        assert_eq!(
            read(&unit, "x.service", &folder.path().join("etc")).await,
            (
                vec![
                    layer(&vendor, None, map([("A", "1"), ("HOME", "/root")])),
                    layer(&unread, None, map([("A", "3")])),
                    layer(&shipped, None, map([("A", "2")])),
                    layer("/absent", Some(&vendor), map([])),
                    layer(&env, Some(&unread), map([("A", "4")])),
                ],
                None
            )
        );
        let late = write("etc/x.service.d/90-late.conf", "[Service]\nEnvironmentFile=\n");
        let (layers, void_in) = read(&unit, "x.service", &folder.path().join("etc")).await;
        assert_eq!(void_in, Some(late));
        assert!(layers.iter().all(|layer| layer.named_in.is_none()), "{layers:?}");
    }
}
