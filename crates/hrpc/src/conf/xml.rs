//! One site file's text into properties and includes. Pure: includes are followed elsewhere.

use roxmltree::{Document, Node, ParsingOptions};

const INCLUDE: &str = "http://www.w3.org/2001/XInclude";
const MOST_NODES: u32 = 200_000;
const DEEPEST: u32 = 8;

/// What a configuration file holds, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Property { key: String, text: String, is_final: bool, line: u32 },
    Include { href: String, otherwise: Option<Vec<Item>>, line: u32 },
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadXml {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) what: String,
}

/// Reads a file's text.
pub(super) fn read(text: &str) -> Result<Vec<Item>, BadXml> {
    let text = text.trim_start_matches('\u{feff}');
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| not_xml(text, &error))?;
    let root = document.root_element();
    if root.tag_name().name() != "configuration" {
        let what = format!("the file's root is <{:.40}>, not <configuration>", root.tag_name().name());
        return Err(Reader::new(text).bad(root, what));
    }
    Reader::new(text).items(root, 0)
}

fn not_xml(text: &str, error: &roxmltree::Error) -> BadXml {
    let mut place = error.pos();
    if matches!(error, roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream) {
        // These know no place; what is missing is missing at the end.
        let last = text.lines().last().unwrap_or_default().chars().count() + 1;
        place.row = u32::try_from(text.lines().count().max(1)).unwrap_or(u32::MAX);
        place.col = u32::try_from(last).unwrap_or(u32::MAX);
    }
    let what = error.to_string();
    let what = what.trim_end_matches(&format!(" at {}:{}", place.row, place.col)).to_owned();
    BadXml { line: place.row, column: place.col, what }
}

/// Knows where lines begin, so that a large file is not counted through for every property.
struct Reader {
    lines: Vec<usize>,
}

impl Reader {
    fn new(text: &str) -> Self {
        Self { lines: text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect() }
    }

    /// Line and column of a node, from 1.
    fn place(&self, node: Node<'_, '_>) -> (u32, u32) {
        let at = node.range().start;
        let before = self.lines.partition_point(|start| *start <= at);
        let start = before.checked_sub(1).map_or(0, |line| self.lines[line]);
        let number = |value: usize| u32::try_from(value + 1).unwrap_or(u32::MAX);
        (number(before), number(at - start))
    }

    fn bad(&self, node: Node<'_, '_>, what: String) -> BadXml {
        let (line, column) = self.place(node);
        BadXml { line, column, what }
    }

    fn items(&self, parent: Node<'_, '_>, depth: u32) -> Result<Vec<Item>, BadXml> {
        if depth > DEEPEST {
            return Err(self.bad(parent, format!("more than {DEEPEST} levels of <configuration>")));
        }
        let mut found = Vec::new();
        for node in parent.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "property" => found.extend(self.property(node)),
                "configuration" => found.extend(self.items(node, depth + 1)?),
                "include" if node.tag_name().namespace() == Some(INCLUDE) => found.push(self.include(node, depth)?),
                _ => {}
            }
        }
        Ok(found)
    }

    /// A property by its elements, or by its attributes. Without name or value it says nothing, as in Hadoop.
    fn property(&self, node: Node<'_, '_>) -> Option<Item> {
        let said = |name: &str| {
            let element = node.children().find(|child| child.is_element() && child.tag_name().name() == name);
            element.map(text_of).or_else(|| node.attribute(name).map(str::to_owned))
        };
        let key = said("name").map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())?;
        let text = said("value")?.trim().to_owned();
        let is_final = said("final").is_some_and(|word| word.trim().eq_ignore_ascii_case("true"));
        Some(Item::Property { key, text, is_final, line: self.place(node).0 })
    }

    fn include(&self, node: Node<'_, '_>, depth: u32) -> Result<Item, BadXml> {
        let href = node.attribute("href").map(str::trim).filter(|href| !href.is_empty());
        let href = href.ok_or_else(|| self.bad(node, "<include> has no href".to_owned()))?.to_owned();
        let fallback = node.children().find(|child| child.is_element() && child.tag_name().name() == "fallback");
        let otherwise = fallback.map(|fallback| self.items(fallback, depth + 1)).transpose()?;
        Ok(Item::Include { href, otherwise, line: self.place(node).0 })
    }
}

/// All the text below a node, without comments.
fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|piece| piece.text()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Item, read};

    fn property(key: &str, text: &str, is_final: bool, line: u32) -> Item {
        Item::Property { key: key.to_owned(), text: text.to_owned(), is_final, line }
    }

    #[test]
    fn both_forms_of_a_property_are_read() {
        let text = "<?xml version=\"1.0\"?>\n<?xml-stylesheet href='x'?>\n<configuration>\n<property><name> a </name>\
                    <value>\n 1<!-- no -->2 &amp; \n</value><final>TRUE</final></property>\n\
                    <property name='b' value='2' final='true'/><property><name>c</name><value/></property>\n\
                    <property><name>d</name></property><property><value>x</value></property><other/>\
                    <configuration><property name='e' value=''/></configuration></configuration>";
        let found = read(text).expect("a configuration");
        let expected = [
            property("a", "12 &", true, 4),
            property("b", "2", true, 7),
            property("c", "", false, 7),
            property("e", "", false, 8),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn includes_carry_their_fallback() {
        let text = "<configuration xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='a.xml'><xi:fallback>\
                    <property name='x' value='1'/></xi:fallback></xi:include></configuration>";
        let otherwise = Some(vec![property("x", "1", false, 1)]);
        assert_eq!(read(text), Ok(vec![Item::Include { href: "a.xml".to_owned(), otherwise, line: 1 }]));
    }

    #[test]
    fn a_broken_file_names_the_place() {
        for (text, line, what) in [
            ("<configuration>\n<property>\n</configuration>", 3, "property"),
            ("", 1, "root"),
            ("\n<html/>", 2, "not <configuration>"),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><configuration/>", 1, "DTD"),
        ] {
            let bad = read(text).expect_err("broken");
            assert!(bad.line == line && bad.what.contains(what), "{bad:?}");
        }
    }

    #[test]
    fn many_properties_take_no_time() {
        let text = format!("<configuration>{}</configuration>", "\n<property name='a' value='b'/>".repeat(50_000));
        let began = std::time::Instant::now();
        let items = read(&text).expect("a configuration");
        assert_eq!(items[49_999], property("a", "b", false, 50_001));
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        for tag in ["a", "configuration"] {
            let deep = format!("<configuration>{}", format!("<{tag}>").repeat(50_000));
            assert!(read(&deep).is_err());
            let closed = format!("{deep}{}</configuration>", format!("</{tag}>").repeat(50_000));
            let _ = read(&closed);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", parts in prop::collection::vec(0..8_usize, 0..40)) {
            let _ = read(&text);
            let known = ["<configuration>", "</configuration>", "<property>", "</property>", "<name>a</name>", "<value>",
                "</value>", "<final>true</final>"];
            let _ = read(&parts.into_iter().map(|part| known[part]).collect::<String>());
        }
    }
}
