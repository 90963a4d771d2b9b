//! Tables as text for a terminal, which is Markdown for a document too.

/// Rows under headings. The first columns are words, the rest numbers.
#[derive(Debug)]
pub struct Table {
    headings: Vec<String>,
    words: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(words: &[&str], numbers: &[&str]) -> Table {
        let headings = words.iter().chain(numbers).map(|heading| (*heading).to_owned()).collect();
        Table { headings, words: words.len(), rows: Vec::new() }
    }

    /// A row that is too short is filled up: a contestant without numbers has a reason instead.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }

    pub fn markdown(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]).chain([&self.headings[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cell = |(column, text): (usize, &String)| {
                let pad = " ".repeat(widths[column] - text.chars().count());
                if column < self.words { format!("{text}{pad}") } else { format!("{pad}{text}") }
            };
            format!("| {} |\n", cells.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | "))
        };
        let rule = |(column, width): (usize, &usize)| {
            if column < self.words { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) }
        };
        let rules = format!("| {} |\n", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join(" | "));
        line(&self.headings) + &rules + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["what"], &["ms"]);
        table.row(vec!["fork and exec".into(), "0.8".into()]);
        table.row(vec!["docker: no".into()]);
        assert_eq!(
            table.markdown(),
            "| what          |  ms |\n| ------------- | --: |\n| fork and exec | 0.8 |\n| docker: no    |     |\n"
        );
    }
}
