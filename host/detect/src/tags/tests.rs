use super::*;

fn text(source: &str) -> String {
    translate(source, false).unwrap().text
}

#[test]
fn python_s_dialect_is_rewritten() {
    assert_eq!(text(r"a\<b\>c"), "a<b>c");
    assert_eq!(text(r"x{,3}y{2,}z{4}"), "x{0,3}y{2,}z{4}");
    assert_eq!(text(r"{a} {1,b}"), r"\{a} \{1,b}");
    assert_eq!(text("[[(]"), r"[\[(]");
    assert_eq!(text("[a&&b--c~~d]"), r"[a\&\&b\--c\~\~d]");
    assert_eq!(text("[]a][^]b]"), r"[\]a][^\]b]");
    assert_eq!(text(r"end\Z"), r"end\z");
    assert_eq!(text("a(?#why)b"), "ab");
    assert_eq!(text("<lower> < a"), "<lower> < a");
    assert_eq!(text("é[é]<x>"), "é[é]<x>");
}

#[test]
fn tags_become_groups_with_a_role() {
    let out = translate(
        "<F-USER>.*</F-USER> <F-ALT_USER1>x</F-ALT_USER1> <HOST>",
        false,
    )
    .unwrap();
    let roles: Vec<_> = out.groups.iter().map(|group| group.role).collect();
    assert_eq!(roles, [Role::User, Role::AltUser, Role::Addr]);
    assert!(out.has_id());
    assert_eq!(out.address_unit.unwrap().1, Family::Any);
    let out = translate("(?P<user>x) (?P<host>y) (?P<other>z)", false).unwrap();
    let roles: Vec<_> = out.groups.iter().map(|group| group.role).collect();
    assert_eq!(roles, [Role::User, Role::Addr]);
    assert!(
        translate("<F-FOO>x</F-FOO><F-ID/>", false)
            .unwrap()
            .has_id()
    );
    assert!(!translate("<F-USER/>", false).unwrap().has_id());
}

#[test]
fn several_addresses_have_no_single_place() {
    for source in ["<IP4> <IP6>", "<SUBNET>", "<F-ID>x</F-ID>"] {
        assert_eq!(
            translate(source, false).unwrap().address_unit,
            None,
            "{source}"
        );
    }
}

#[track_caller]
fn refused(source: &str, offset: usize, part: &str) {
    let fault = translate(source, false).unwrap_err();
    assert_eq!(fault.offset, Some(offset), "{source}");
    assert!(fault.message.contains(part), "{}", fault.message);
    assert!(
        fault.hint.is_some() || part.contains("closes no"),
        "{source}"
    );
}

#[test]
fn what_cannot_be_matched_is_refused_where_it_stands() {
    refused("ab(?!x)", 2, "look-around");
    refused("(?<=x)", 0, "look-around");
    refused(r"(a)\1", 3, "back-references");
    refused("(?P<a>x)(?P=a)", 8, "back-references");
    refused("(?(a)b|c)", 0, "conditions");
    refused("x<SKIPLINES>", 1, "SKIPLINES");
    refused("<F-NOFAIL>x</F-NOFAIL>", 0, "F-NOFAIL");
    refused("<DNS>", 0, "names");
    refused("a<F-CONTENT>.*</F-CONTENT>", 1, "prefregex");
}

#[test]
fn tags_must_be_closed_in_order() {
    refused("a <F-USER>.*", 2, "not closed");
    refused("<F-USER>x</F-ID>", 9, "closes <F-USER>");
    refused("x</F-USER>", 1, "closes no");
    refused("<F-user>", 0, "not a tag");
}

#[test]
fn places_are_those_of_the_author() {
    let out = translate(r"a<ADDR>b", false).unwrap();
    assert_eq!(out.author_offset(0), 0);
    assert_eq!(out.author_offset(1), 1);
    let b = out.text.rfind('b').unwrap();
    assert_eq!(out.author_offset(b), 7);
    assert_eq!(out.author_offset(out.text.len()), 8);
}
