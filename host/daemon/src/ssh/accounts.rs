//! Who administers this host, by number.

use std::collections::BTreeSet;

use stockade_config::Admin;

/// The user numbers of `admins`, by the texts of passwd(5) and group(5). Lines that are none are passed
/// over. A user may be named by his number, too.
pub(crate) fn admin_uids(admins: &[Admin], passwd: &str, group: &str) -> BTreeSet<u32> {
    let users: Vec<User<'_>> = passwd.lines().filter_map(user).collect();
    let groups: Vec<Group<'_>> = group.lines().filter_map(self::group).collect();
    let mut uids = BTreeSet::new();
    for admin in admins {
        match admin {
            Admin::User(name) => {
                let named = users.iter().filter(|user| user.name == name);
                uids.extend(named.map(|user| user.uid));
                uids.extend(name.parse::<u32>());
            }
            Admin::Group(name) => {
                for group in groups.iter().filter(|group| group.name == name) {
                    let members = users.iter().filter(|user| group.has(user));
                    uids.extend(members.map(|user| user.uid));
                }
            }
        }
    }
    uids
}

/// The name of a user, by the text of passwd(5).
pub(crate) fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let mut users = passwd.lines().filter_map(user);
    let user = users.find(|user| user.uid == uid)?;
    Some(user.name.to_owned())
}

/// A line of passwd(5).
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Group<'_> {
    /// By its list, or because it is the user's first group.
    fn has(&self, user: &User<'_>) -> bool {
        user.gid == self.gid || self.members.split(',').any(|name| name == user.name)
    }
}

fn user(line: &str) -> Option<User<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let _password = fields.next()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { name, uid, gid })
}

fn group(line: &str) -> Option<Group<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok()?;
    let members = fields.next()?;
    Some(Group { name, gid, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n\
                          bob:x:1001:27::/:/bin/sh\nmallory:x:1002:1002::/:/bin/sh\n\
                          broken:x:nobody:1::\n+@nis\n:x:7:7::/:\n";
    const GROUP: &str =
        "root:x:0:\nsudo:x:27:alice,nobody\nusers:x:100:mallory\nwheel:x:x:mallory\n";

    #[track_caller]
    fn check(admins: &[Admin], expected: &[u32]) {
        let found = admin_uids(admins, PASSWD, GROUP);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    fn user(name: &str) -> Admin {
        Admin::User(name.to_owned())
    }

    fn group(name: &str) -> Admin {
        Admin::Group(name.to_owned())
    }

    #[test]
    fn users_and_members_of_groups_are_administrators() {
        check(&[user("root")], &[0]);
        check(&[group("sudo")], &[1000, 1001]);
        check(&[user("root"), group("wheel"), group("none")], &[0]);
        check(&[user("1002"), user("broken"), user("")], &[1002]);
        check(&[], &[]);
        assert_eq!(name_of(1001, PASSWD).as_deref(), Some("bob"));
        assert_eq!(name_of(7, PASSWD), None);
    }
}
