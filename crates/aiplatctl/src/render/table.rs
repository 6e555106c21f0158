//! Tables: aligned, without borders, one line a row, never wider than the terminal.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Row as Line, Table as Layout, Width, presets};

use super::{style, text};

/// Between two columns.
const GAP: u16 = 2;
/// A word of which more than this is seen is cut all the same: names of images are long, and begin with what tells them
/// apart.
const FRAGMENT_MAX: usize = 12;
/// A message shorter than this says nothing: other columns go first.
const MESSAGE_MIN: usize = 32;

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    /// In a narrow terminal columns go, the smallest first; zero stays.
    drops: u8,
    /// Gives way before any column goes.
    flexible: bool,
    /// Changes by itself: not news.
    volatile: bool,
}

/// A column that stays.
#[must_use]
pub const fn column(title: &'static str) -> Column {
    Column { title, drops: 0, flexible: false, volatile: false }
}

impl Column {
    /// One that goes when there is no room; the smallest `order` first.
    #[must_use]
    pub const fn drops(mut self, order: u8) -> Self {
        self.drops = order;
        self
    }

    /// One that is cut short when there is no room.
    #[must_use]
    pub const fn flexible(mut self) -> Self {
        self.flexible = true;
        self
    }

    /// One that changes by itself, such as an age.
    #[must_use]
    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }
}

/// One place of a row.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

/// A cell in a colour.
#[must_use]
pub fn cell(style: Style, content: &str) -> Cell {
    let text = text::clean(content);
    let text = text.trim();
    Cell { text: if text.is_empty() { "-".to_owned() } else { text.to_owned() }, style }
}

/// A message, of the last column: nothing is said where all is well.
#[must_use]
pub fn message(content: &str) -> Cell {
    Cell { text: text::clean(content).trim().to_owned(), style: style::PLAIN }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        cell(style::PLAIN, text.as_ref())
    }
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub fn push(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The title line and the rows, ready to print; empty without rows.
    #[must_use]
    pub fn render(&self, width: Option<usize>) -> String {
        if self.is_empty() { String::new() } else { self.lines(width).join("\n") + "\n" }
    }

    /// The title line, then one line a row.
    #[must_use]
    pub fn lines(&self, width: Option<usize>) -> Vec<String> {
        let shown = self.fit(width);
        let layout = self.layout(&shown, width);
        let lines = layout.lines().map(|line| line.trim_end().to_owned());
        let rows = std::iter::once(None).chain(self.rows.iter().map(Some));
        lines
            .zip(rows)
            .map(|(line, row)| match row {
                Some(row) => paint(&whole_words(&line, &shown, row), &shown, row),
                None => line,
            })
            .collect()
    }

    /// What a row says, apart from what changes by itself: for finding those that are news.
    #[must_use]
    pub fn news(&self) -> Vec<String> {
        let steady = |row: &Vec<Cell>| {
            let cells = self.columns.iter().zip(row).filter(|(column, _)| !column.volatile);
            cells.map(|(_, cell)| cell.text.as_str()).collect::<Vec<_>>().join("\t")
        };
        self.rows.iter().map(steady).collect()
    }

    /// Indices of the columns that there is room for.
    fn fit(&self, width: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return shown };
        let natural = self.natural_widths();
        loop {
            let wanted = |index: &usize| match self.columns[*index].flexible {
                true => natural[*index].min(MESSAGE_MIN),
                false => natural[*index],
            };
            let gaps = usize::from(GAP) * shown.len().saturating_sub(1);
            if shown.iter().map(wanted).sum::<usize>() + gaps <= width {
                return shown;
            }
            let droppable = shown.iter().copied().filter(|index| self.columns[*index].drops > 0);
            let Some(next) = droppable.min_by_key(|index| self.columns[*index].drops) else { return shown };
            shown.retain(|index| *index != next);
        }
    }

    fn natural_widths(&self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let widths = self.layout(&all, None).column_max_content_widths();
        widths.into_iter().map(usize::from).collect()
    }

    fn layout(&self, shown: &[usize], width: Option<usize>) -> Layout {
        let mut layout = Layout::new();
        layout.load_style(presets::NOTHING);
        layout.set_truncation_indicator("…");
        layout.set_header(shown.iter().map(|index| self.columns[*index].title));
        for row in &self.rows {
            let mut line = Line::from(shown.iter().map(|index| row[*index].text.clone()).collect::<Vec<_>>());
            line.max_height(1);
            layout.add_row(line);
        }
        let last = shown.len().saturating_sub(1);
        for (at, column) in layout.column_iter_mut().enumerate() {
            column.set_padding((0, if at == last { 0 } else { GAP }));
            // Without words to break at, a text is cut where the room ends and not at the word before.
            column.set_delimiter('\0');
        }
        match width.and_then(|width| u16::try_from(width).ok()) {
            None => {
                layout.set_content_arrangement(ContentArrangement::Disabled);
            }
            Some(width) => self.squeeze(&mut layout, shown, width),
        }
        layout
    }

    /// Fixed columns keep their width; what is left is for the flexible ones. If even the fixed ones do not fit, all
    /// give way.
    fn squeeze(&self, layout: &mut Layout, shown: &[usize], width: u16) {
        layout.set_content_arrangement(ContentArrangement::Dynamic);
        layout.set_width(width);
        let natural = layout.column_max_content_widths();
        let gaps = GAP * u16::try_from(shown.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let fixed = shown.iter().zip(&natural).filter(|(index, _)| !self.columns[**index].flexible);
        let fixed: u16 = fixed.map(|(_, natural)| *natural).sum();
        if fixed.saturating_add(gaps) >= width {
            return;
        }
        for ((column, index), natural) in layout.column_iter_mut().zip(shown).zip(natural) {
            if !self.columns[*index].flexible {
                let padding = column.padding_width();
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(natural + padding)));
            }
        }
    }
}

/// The last text of a line that was cut short ends with a word, unless it has one only.
fn whole_words(line: &str, shown: &[usize], row: &[Cell]) -> String {
    let Some(last) = shown.last().map(|index| &row[*index].text) else { return line.to_owned() };
    let Some(cut) = line.strip_suffix('…').filter(|_| !line.ends_with(last.as_str())) else {
        return line.to_owned();
    };
    let start = cut.char_indices().map(|(at, _)| at).find(|at| last.starts_with(&cut[*at..]));
    let Some((before, kept)) = start.map(|at| cut.split_at(at)) else { return line.to_owned() };
    let ends_a_word = last[kept.len()..].starts_with(' ');
    let space = kept.rfind(' ').filter(|space| kept.len() - space <= FRAGMENT_MAX + 1);
    let words = if ends_a_word { Some(kept) } else { space.map(|space| &kept[..space]) };
    match words.map(str::trim_end).filter(|words| !words.is_empty()) {
        Some(words) => format!("{before}{words}…"),
        None => line.to_owned(),
    }
}

/// Colours the cells of a laid-out line. Every cell but the last has a text that does not start with a space, so
/// that walking over the texts and the spaces behind them finds them again.
fn paint(line: &str, shown: &[usize], row: &[Cell]) -> String {
    let mut out = String::with_capacity(line.len() + 16);
    let mut rest = line;
    for index in shown {
        let Cell { text, style } = &row[*index];
        let taken = if rest.starts_with(text.as_str()) { text.len() } else { cut(rest, text) };
        let (content, after) = rest.split_at(taken);
        let spaces = after.len() - after.trim_start_matches(' ').len();
        out.push_str(&style::paint(*style, content));
        out.push_str(&after[..spaces]);
        rest = &after[spaces..];
    }
    out.push_str(rest);
    out
}

/// Where a text that was cut short ends.
fn cut(line: &str, text: &str) -> usize {
    let common =
        line.char_indices().zip(text.chars()).find(|((_, a), b)| a != b).map_or(0, |((at, _), _)| at);
    match line[common..].chars().next() {
        Some('…') => common + '…'.len_utf8(),
        Some(_) | None => common,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            column("NAME"),
            column("STATUS"),
            column("SINCE").drops(2).volatile(),
            column("ENDPOINT").drops(1),
            column("MESSAGE").flexible(),
        ]);
        let waits = "waits for litellm, which waits for postgres, which has no disk";
        table.push(vec![
            "open-webui".into(),
            cell(style::UNDERWAY, "Pending"),
            "2m".into(),
            "".into(),
            message(waits),
        ]);
        table.push(vec![
            "数据库".into(),
            cell(style::GOOD, "Ready"),
            "3d".into(),
            "127.0.0.1:5432".into(),
            message(""),
        ]);
        table
    }

    fn plain(table: &Table, width: Option<usize>) -> String {
        anstream::adapter::strip_str(&table.render(width)).to_string()
    }

    #[test]
    fn columns_go_in_order_and_the_message_is_cut() {
        let table = sample();
        insta::assert_snapshot!(plain(&table, None));
        insta::assert_snapshot!(plain(&table, Some(80)));
        insta::assert_snapshot!(plain(&table, Some(60)));
        insta::assert_snapshot!(plain(&table, Some(30)));
    }

    #[test]
    fn a_message_is_cut_between_words_and_a_single_word_where_it_must_be() {
        let mut table = Table::new(&[column("NAME"), column("MESSAGE").flexible()]);
        table.push(vec!["a".into(), message("waits until postgres has been replaced")]);
        table.push(vec!["b".into(), message("waits-until-postgres-has-been-replaced")]);
        assert_eq!(plain(&table, Some(25)), "NAME  MESSAGE\na     waits until…\nb     waits-until-postgr…\n");
        let mut long = Table::new(&[column("MESSAGE").flexible()]);
        long.push(vec![message("cannot pull registry.example/home/model-server:1.1")]);
        assert_eq!(plain(&long, Some(30)).lines().nth(1), Some("cannot pull registry.example/…"));
        for width in 10..60 {
            let text = plain(&table, Some(width));
            let shown = text.lines().nth(1).and_then(|line| line.strip_suffix('…')).unwrap_or_default();
            let words = shown.split_whitespace().skip(1).collect::<Vec<_>>();
            let whole = "waits until postgres has been replaced".split(' ').collect::<Vec<_>>();
            assert!(words.len() < 2 || whole.starts_with(&words), "{width}: {text}");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 12..200 {
            for line in plain(&sample(), Some(width)).lines() {
                let wide = line.chars().map(|c| if c.is_ascii() || c == '…' { 1 } else { 2 }).sum::<usize>();
                assert!(wide <= width, "{width}: {wide}: {line}");
            }
        }
    }

    #[test]
    fn colours_cover_the_words_and_not_the_gaps() {
        let lines = sample().lines(Some(60));
        assert!(lines[1].contains("\u{1b}[33mPending\u{1b}[0m "), "{}", lines[1]);
        assert!(lines[2].contains("\u{1b}[32mReady\u{1b}[0m"), "{}", lines[2]);
    }

    #[test]
    fn an_age_is_no_news() {
        let news = sample().news();
        assert!(!news[0].contains("2m") && news[0].contains("Pending"));
    }
}
