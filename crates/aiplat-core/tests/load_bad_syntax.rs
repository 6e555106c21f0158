//! Files that are not YAML, or not one mapping: what a person sees.

mod load_support;

use load_support::{Disk, seen};

macro_rules! bad {
    ($($name:ident: $text:expr;)*) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(seen(&Disk::with($text)));
        }
    )* };
}

bad! {
    an_empty_file: "";
    a_file_of_white_space: "  \n\n\t\n";
    a_file_of_comments: "# services:\n#   web: {image: nginx}\n";
    a_document_of_nothing: "---\n";
    a_null: "null\n";
    a_list: "- apiVersion: aiplat/v1\n- services: {}\n";
    a_single_word: "apiVersion\n";
    two_documents: "apiVersion: aiplat/v1\nname: home\nservices: {}\n---\nservices: {}\n";
    a_tab_as_indentation: "apiVersion: aiplat/v1\nservices:\n\tweb:\n\t\timage: nginx\n";
    a_tab_among_spaces: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: nginx\n  \tports: []\n";
    a_bracket_that_is_never_closed: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: nginx\n    ports: [\"80:80\"\n    restart: always\n";
    a_bracket_cut_off_by_the_end: "apiVersion: aiplat/v1\nservices: {web: {image: nginx";
    a_quote_that_is_never_closed: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: \"nginx\n    restart: always\n";
    a_quote_cut_off_by_the_end: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: \"ngi";
    text_after_a_closing_quote: "apiVersion: aiplat/v1\nname: 'it's'\nservices: {}\n";
    a_colon_in_a_plain_value: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: nginx\n    command: echo a: b\n";
    a_wrong_indentation: "apiVersion: aiplat/v1\nservices:\n  web:\n    image: nginx\n   ports: []\n";
    a_key_without_a_colon: "apiVersion: aiplat/v1\nservices:\n  web\n    image: nginx\n";
    a_value_that_starts_with_an_at_sign: "apiVersion: aiplat/v1\nname: @home\nservices: {}\n";
    a_percent_sign: "apiVersion: aiplat/v1\nname: %home\nservices: {}\n";
    a_template: "apiVersion: aiplat/v1\nname: {{ name }}\nservices: {}\n";
    a_variable_in_braces_without_quotes: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {image: nginx, environment: {TOKEN: ${TOKEN}}}\n";
    an_unknown_escape: "apiVersion: aiplat/v1\nname: \"a\\home\"\nservices: {}\n";
    an_unknown_anchor: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: *base\n";
    a_glob_without_quotes: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {image: nginx, command: [ls, *.txt]}\n";
    a_tag_of_an_overlay_in_a_list: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {image: nginx, ports: [!reset \"80:80\"]}\n";
    a_tag_that_means_nothing: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: !Ref {image: nginx}\n";
    a_key_given_twice: "apiVersion: aiplat/v1\nname: home\nservices:\n  web:\n    image: nginx\n    restart: always\n    image: httpd\n";
    a_service_given_twice: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {image: nginx}\n  db: {image: postgres}\n  web: {image: httpd}\n";
    two_merges: "apiVersion: aiplat/v1\nname: home\nx-a: &a {image: nginx}\nx-b: &b {restart: always}\nservices:\n  web:\n    <<: *a\n    <<: *b\n";
    a_merge_of_a_word: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: {<<: nginx, image: nginx}\n";
    a_list_as_a_key: "apiVersion: aiplat/v1\nname: home\nservices:\n  ? [a, b]\n  : {image: nginx}\n";
    nesting_without_end: format!("services: {}{}\n", "[".repeat(100), "]".repeat(100));
    an_anchor_in_itself: "apiVersion: aiplat/v1\nname: home\nservices:\n  web: &web {image: nginx, labels: {a: *web}}\n";
    a_byte_that_is_no_text: [b"apiVersion: aiplat/v1\nname: ".as_slice(), &[0xff, 0xfe], b"\n"].concat();
    a_file_in_utf16: [&[0xff, 0xfe], "a\0p\0i\0".as_bytes()].concat();
    a_control_character: "apiVersion: aiplat/v1\nname: \u{1}\nservices: {}\n";
}

#[test]
fn a_file_that_cannot_be_read() {
    let mut disk = Disk::default();
    disk.denied.push("/srv/home/platform.yaml".into());
    insta::assert_snapshot!(seen(&disk));
}

#[test]
fn a_file_that_does_not_exist() {
    insta::assert_snapshot!(seen(&Disk::default()));
}

#[test]
fn a_file_that_is_too_large() {
    insta::assert_snapshot!(seen(&Disk::with(vec![b'#'; (4 << 20) + 1])));
}

#[test]
fn the_one_line_form_is_what_editors_jump_to() {
    let loaded =
        Disk::with("apiVersion: aiplat/v1\nname: home\nversion: '3'\nservices: {w: {imgae: x}}\n").load();
    let lines: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "/srv/home/platform.yaml:3:1: warning: `version` has no effect here: Compose itself ignores it",
            "/srv/home/platform.yaml:4:16: `imgae` is not a key of a service",
        ]
    );
}
