"""Writes texts as regular expressions describe them. oracle.py follows in the same program."""

import re


class Inventor:
    """Writes texts that an expression describes; what it only looks at is not minded."""

    NAMED = {
        "ip4": ["192.0.2.7", "198.51.100.23", "203.0.113.255", "1.2.3.4", "999.1.1.1", "0.0.0.0"],
        "ip6": ["2001:db8::7", "::1", "::ffff:192.0.2.9", "2001:DB8:0:0:0:0:0:1", "fe80::1", "1:2:3:4:5:6:7:8"],
        "dns": ["host.example.com", "localhost", "a-b.example", "192-0-2-1.example.net", "x_y"],
        "cidr": ["24", "32", "0", "64", "129", "007"],
        "user": ["root", "admin", "a b", "from 192.0.2.99", "\u00e9t\u00e9", ""],
        "mlfid": ["1", "22", "333"],
    }
    ANY = "abz019 -_.:/[]()<>=\"',;@%\u00e9"
    CLASSES = {
        "CATEGORY_DIGIT": "0123456789",
        "CATEGORY_NOT_DIGIT": "abz -.:[(",
        "CATEGORY_SPACE": "  \t",
        "CATEGORY_NOT_SPACE": "abz09-.:[(\u00e9",
        "CATEGORY_WORD": "abzXYZ019_\u00e9",
        "CATEGORY_NOT_WORD": " -.:[(",
    }

    def __init__(self, pattern):
        parser = getattr(re, "_parser", None) or __import__("sre_parse")
        self.tree = parser.parse(pattern)
        self.names = {number: name for name, number in self.tree.state.groupdict.items()}

    def text(self, dice, content=None):
        self.dice, self.content, self.groups = dice, content, {}
        return self.write(self.tree)

    def write(self, tree):
        return "".join(self.part(str(op), value) for op, value in tree)

    def part(self, op, value):
        if op == "LITERAL":
            return chr(value)
        if op == "NOT_LITERAL":
            return self.dice.choice([c for c in self.ANY if ord(c) != value])
        if op == "ANY":
            return self.dice.choice(self.ANY)
        if op == "IN":
            return self.one_of(value)
        if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, tree = value
            count = self.dice.choice([least, least, least + 1, least + self.dice.randrange(12)])
            return "".join(self.write(tree) for _ in range(min(count, int(most))))
        if op == "SUBPATTERN":
            return self.group(value[0], value[-1])
        if op == "ATOMIC_GROUP":
            return self.write(value)
        if op == "BRANCH":
            return self.write(self.dice.choice(value[1]))
        if op == "GROUPREF":
            return self.groups.get(value, "")
        if op == "GROUPREF_EXISTS":
            tree = value[1] if value[0] in self.groups else value[2]
            return self.write(tree) if tree else ""
        return ""

    def group(self, number, tree):
        name = self.names.get(number)
        if name == "content" and self.content is not None:
            text = self.content
        elif name in self.NAMED and self.dice.random() < 0.8:
            text = self.dice.choice(self.NAMED[name])
        else:
            text = self.write(tree)
        if number is not None:
            self.groups[number] = text
        return text

    def one_of(self, items):
        chosen, refused = "", set()
        for op, value in items:
            op = str(op)
            if op == "LITERAL":
                chosen += chr(value)
            elif op == "RANGE":
                low, high = value
                chosen += chr(low) + chr(high) + chr(self.dice.randint(low, high))
            elif op == "CATEGORY":
                chosen += self.CLASSES.get(str(value), "a")
        if str(items[0][0]) == "NEGATE":
            refused = set(chosen)
            chosen = [c for c in self.ANY if c not in refused] or "~"
        return self.dice.choice(chosen or "a")


