#!/usr/bin/env python3
"""Counts the records of rounds again, from docs/record.md and the standard library
alone, and checks that they are in their logs. It checks no signature.

    recount.py record.json...

It prints a line and exits with 0 if all is in order, 1 if not, 2 if it cannot tell.
"""
import base64
import datetime
import hashlib
import json
import math
import re
import sys
from fractions import Fraction

DOMAIN = b"github.com/cmmv-hive/resilience/bipadapter/"


class Failed(Exception):
    """What is not in order."""


class Unknown(Exception):
    """What this program does not count."""


def need(ok, text):
    if not ok:
        raise Failed(text)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unique(pairs):
    keys = [k for k, _ in pairs]
    need(len(set(keys)) == len(keys), "a key is repeated")
    return dict(pairs)


def number(text):
    """The number that a double is printed as."""
    need(len(text) < 400 and math.isfinite(float(text)), "a number that is none")
    return Fraction(text) if re.fullmatch("-?[0-9]+", text) else Fraction(repr(float(text)))


def binary(text):
    return base64.b64decode(text, validate=True)


DECODER = json.JSONDecoder(object_pairs_hook=unique, parse_float=number, parse_int=number, parse_constant=number)


def read(data):
    """Returns the members of a record and their text, as it is in the file."""
    text = data.decode("utf-8")
    members, texts, at = {}, {}, 0
    for i, name in enumerate(("opening", "evidence", "closing", "proof")):
        head = ("{" if i == 0 else ",") + '"%s":' % name
        need(text.startswith(head, at), "not as a log writes it: no " + head)
        at += len(head)
        members[name], end = DECODER.raw_decode(text, at)
        texts[name] = text[at:end].encode()
        at = end
    need(text[at:] == "}\n", "not as a log writes it: more after the proof")
    return members, texts


def when(text):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    need(m, "not a time")
    at = datetime.datetime.fromisoformat(m[1] + m[3].replace("Z", "+00:00"))
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return since.days * 86400 + since.seconds + Fraction("0" + (m[2] or ""))


def fields(name, *texts):
    out = DOMAIN + name
    for text in texts:
        data = text.encode()
        out += b"%d:%s," % (len(data), data)
    return out


# The log.

def root(leaf, index, size, proof):
    """The root that a leaf and its proof make, as RFC 6962 says."""
    def walk(lo, hi):
        if hi - lo == 1:
            return leaf
        mid = lo + (1 << (hi - lo - 1).bit_length() - 1)
        own = walk(lo, mid) if index < mid else walk(mid, hi)
        need(proof, "proof: too short")
        other = proof.pop(0)
        return sha(b"\x01", own, other) if index < mid else sha(b"\x01", other, own)
    need(0 <= index < size, "proof: no such entry")
    proof = list(proof)
    got = walk(0, size)
    need(not proof, "proof: too long")
    return got


def included(what, inclusion, name, text):
    lines = inclusion["checkpoint"].split("\n")
    leaf = sha(b"\x00", DOMAIN, name, sha(text))
    proof = [binary(h) for h in inclusion["hashes"]]
    got = root(leaf, int(inclusion["index"]), int(lines[1]), proof)
    need(got == binary(lines[2]), "proof: %s: not in the log" % what)


def log_of(proof, roots):
    """The first key of a record's log, by the handovers to the one that it has."""
    key = first = None
    for text in proof.get("handovers", []):
        _, size, top, before, after = text.split("\n\n")[0].split("\n")
        first = first or before
        need(key in (None, before), "proof: handovers: one does not follow the other")
        need(roots.setdefault((first, size), top) == top, "log: forked")
        key = after
    need(key in (None, proof["log"]), "proof: handovers: to another key")
    return first or proof["log"]


# What voters did.

def spelling(name):
    return "".join(c.lower()[0] for c in re.sub(r"[ ._/]", "-", name)).strip("-")


def names(v):
    return [n for n in [v["name"], v.get("model", "")] + v.get("aliases", []) if n]


def served_by(v, served):
    last = spelling(served.rsplit("/", 1)[-1]).removesuffix("-latest")
    for name in names(v):
        own = spelling(name.rsplit("/", 1)[-1]).removesuffix("-latest")
        rest = last[len(own):] if last.startswith(own) else "?"
        if re.fullmatch(r"(-[0-9]{2,})*", rest):
            return True
    return not served


LIMITS = {"choice": 256, "reason": 500, "veto": 500, "nonce": 32, "signature": 344}
RANGES = {"score": 10, "confidence": 1}


def ballot(raw, paper):
    """The ballot that an answer is, or None."""
    raw = raw.strip(b" \t\r\n")
    try:
        b = DECODER.decode(raw.decode("utf-8"))
        if len(raw) > 4096 or not isinstance(b, dict) or not ("choice" in b or "score" in b):
            return None
        if "signature" in b and not binary(re.sub("[\r\n]", "", b["signature"])):
            return None
    except (ValueError, TypeError, RecursionError, Failed):
        return None
    for key, value in b.items():
        if key in LIMITS:
            if not isinstance(value, str) or len(value) > LIMITS[key]:
                return None
        elif key not in RANGES or not isinstance(value, Fraction) or not 0 <= value <= RANGES[key]:
            return None
    if paper is None:
        return b
    options = {o["token"]: o["text"] for o in paper["options"]}
    nonce = b.get("nonce", "")
    if nonce != paper["nonce"] and (nonce or not options):
        return None
    if b.get("choice", "") not in ("", "abstain"):
        if b["choice"] not in options:
            return None
        b["choice"] = options[b["choice"]]
    return b


def alike(a, b):
    return all(a.get(k, x) == b.get(k, x) for k, x in (("choice", ""), ("score", 0), ("veto", "")))


RANK = ["absent", "malformed", "late", "abstained", "void"]


def cast(opening, v, e, method):
    """What a voter's attempts come to: a standing and a ballot."""
    standing, own = "absent", None
    for a in e["attempts"]:
        salt, raw = binary(a.get("salt", "")), binary(a.get("raw", ""))
        shown = "raw" in a or "salt" in a
        need(len(salt) in (0, 32), e["voter"] + ": salt")
        need(not shown or sha(salt, raw) == binary(a["digest"]), e["voter"] + ": digest")
        b = None
        if a.get("kind") or binary(a["digest"]) == bytes(32):
            now = "absent"
        elif when(a["end"]) > when(opening["deadline"]):
            now = "late"
        elif not served_by(v, a.get("served", "")):
            now = "void"
        else:
            if v.get("publicKey") or not shown or opening["judge"] != "ballot/1":
                raise Unknown("ballots that are signed, hidden or read by another judge")
            b = ballot(raw, e.get("paper"))
            choice = (b or {}).get("choice", "")
            abstains = choice == "abstain" or choice == "" and method != "scores"
            now = "malformed" if b is None else "abstained" if abstains else "counted"
        high, old = (RANK.index("abstained" if s == "counted" else s) for s in (now, standing))
        if high == old == 3 and not (now == standing and (now == "abstained" or alike(b, own))):
            standing, own = "void", None
        elif high > old:
            standing, own = now, b
    need(alike(e.get("ballot", {}), own or {}), e["voter"] + ": ballot")
    return standing, own


# The count.

def part(x):
    """The simplest fraction within 1e-10 of x."""
    def simplest(lo, hi):
        whole = lo.numerator // lo.denominator
        if whole == lo:
            return Fraction(whole)
        if whole + 1 <= hi:
            return Fraction(whole + 1)
        return whole + 1 / simplest(1 / (hi - whole), 1 / (lo - whole))
    near = Fraction(1, 10**10)
    return Fraction(0) if x <= near else simplest(x - near, x + near)


DEFAULTS = {"plurality": 0, "supermajority": Fraction(2, 3), "unanimous": 1, "approval": Fraction(3, 5),
            "scores": Fraction(3, 5), "majority": Fraction(1, 2)}


class Poll:
    def __init__(self, opening):
        rule = self.rule = opening["rule"]
        if rule.get("groupCap") or rule.get("faults"):
            raise Unknown("rules with groupCap or faults")
        self.method = rule.get("method", "majority")
        default = rule.get("threshold") or DEFAULTS[self.method]
        self.threshold = part(rule.get("topics", {}).get(opening.get("topic", ""), default))
        self.options = sorted(o for o in opening.get("options", []) if o != "abstain") or ["approve", "reject"]
        self.voters = []
        for v in opening["voters"]:
            v = dict(v, name=v.get("name") or v["model"], role=v.get("role", "general"))
            v["weight"] = max(v.get("weight", Fraction(1)), 0)
            if v["role"] != "master" and v["role"] in rule.get("voting", ["general", "collaborator"]):
                self.voters.append(v)
        self.voters.sort(key=lambda v: v["name"].encode())
        spelt = [s for v in self.voters for s in {spelling(n) for n in names(v)}]
        if len(set(spelt)) < len(spelt):
            raise Unknown("voters that are the same")
        n = len(self.voters)
        up = lambda x: -(-part(x) * n // 1)
        self.quorum = max(up(rule.get("quorum", 0)), rule.get("ballots", 0))
        if "emergency" in opening and rule.get("emergency"):
            self.quorum = up(rule["emergency"])
        self.quorum = max(self.quorum, 1)

    def seat(self, v, standing, b):
        """(weight, standing, option, points, veto, general) of a voter."""
        general, option, points, veto = v["role"] == "general", "", Fraction(0), False
        if standing == "counted":
            objects = general and b.get("veto", "").strip() != ""
            if self.method == "scores":
                points = b.get("score", Fraction(0)) / 10
                veto = objects and points * 10 <= self.veto_score()
            elif b["choice"] not in self.options:
                standing = "malformed"
            else:
                option = b["choice"]
                points = Fraction(int(option == "approve"))
                veto = objects and option == "reject"
        return v["weight"], standing, option, points, veto, general

    def veto_score(self):
        return self.rule.get("veto", {}).get("score") or 2

    def sums(self, seats):
        out = self.rule.get("abstainOut", False)
        base = sum(w for w, s, *_ in seats if not (out and s == "abstained"))
        unheard = sum(w for w, s, *_ in seats if s not in ("counted", "abstained"))
        by = {o: sum(w for w, s, mine, *_ in seats if s == "counted" and mine == o) for o in self.options}
        points = sum(w * p for w, s, _, p, *_ in seats if s == "counted")
        ballots = sum(s in ("counted", "abstained") for _, s, *_ in seats)
        return base, unheard, by, points, ballots

    def decide(self, seats):
        base, unheard, by, points, ballots = self.sums(seats)
        if len(seats) < max(self.rule.get("voters", 1), 1) or ballots < self.quorum or base == 0:
            return "no_decision", ""
        if self.method in ("approval", "scores"):
            return self.vetoed(seats) or self.judge(base, unheard, by, points)
        order = sorted(self.options, key=lambda o: -by[o])
        first, lead = order[0], by[order[0]] - (by[order[1]] if len(order) > 1 else 0)
        enough = by[first] > self.threshold * base if self.method == "majority" else by[first] >= self.threshold * base
        if by[first] == 0 or lead == 0 or not enough or lead <= unheard:
            return "no_decision", ""
        if self.options == ["approve", "reject"]:
            return {"approve": "approved", "reject": "rejected"}[first], first
        return "chosen", first

    def judge(self, base, unheard, by, points):
        low, high = points / base, (points + unheard) / base
        hold = part(self.rule.get("hold", 0))
        floor = hold or self.threshold
        if low >= self.threshold:
            tie = self.method == "approval" and by["approve"] <= by["reject"] + unheard
            return ("no_decision", "") if tie else ("approved", "approve")
        if high < floor:
            return "rejected", "reject"
        if low >= floor and high < self.threshold:
            return "revise", ""
        return "no_decision", ""

    def vetoed(self, seats):
        veto = self.rule.get("veto", {})
        revise, reject = part(veto.get("revise", 0)), part(veto.get("reject", 0))
        generals = sum(w for w, *_, general in seats if general)
        against = sum(w for w, s, _, _, v, general in seats if general and v and s == "counted")
        if generals and reject and against >= reject * generals:
            return "rejected", "reject"
        if generals and revise and against >= revise * generals:
            return "revise", ""
        return None

    def pivotal(self, seats):
        was = self.decide(seats)
        for i, (weight, *_, general) in enumerate(seats):
            ways = [(s, "", Fraction(0), False) for s in ("absent", "abstained")]
            if self.method == "scores":
                for x in range(11):
                    ways.append(("counted", "", Fraction(x, 10), False))
                    if general and x <= self.veto_score():
                        ways.append(("counted", "", Fraction(x, 10), True))
            else:
                for o in self.options:
                    ways.append(("counted", o, Fraction(int(o == "approve")), False))
                    if general and o == "reject":
                        ways.append(("counted", o, Fraction(0), True))
            for way in ways:
                if self.decide(seats[:i] + [(weight, *way, general)] + seats[i + 1:]) != was:
                    return True
        return False

    def settled(self, seats, asked):
        """Whether those who were not asked could not have changed what came out."""
        was = self.decide(seats)
        if was[0] == "no_decision":
            return all(asked)
        ways = [("abstained", "", Fraction(0), False)]
        if self.method == "scores":
            ways += [("counted", "", Fraction(1), False), ("counted", "", Fraction(0), False), ("counted", "", Fraction(0), True)]
        else:
            for o in self.options:
                points = Fraction(int(o == "approve"))
                ways += [("counted", o, points, False), ("counted", o, points, o == "reject")]
        for standing, option, points, veto in ways:
            now = [s if a else (s[0], standing, option, points, veto and s[5], s[5]) for s, a in zip(seats, asked)]
            if self.decide(now) != was:
                return False
            # Between no objection and so many that they reject some send back.
            if self.vetoed(seats) is None and self.vetoed(now) == ("rejected", "reject") and part(self.rule.get("veto", {}).get("revise", 0)):
                return False
        return True

    def figures(self, seats):
        base, _, by, points, _ = self.sums(seats)
        tally = {"score": points * 10} if self.method == "scores" else by
        if base == 0:
            return tally, 0, 0
        if self.method in ("approval", "scores"):
            return tally, points / base, points / base - self.threshold
        first, second = (sorted(by.values(), reverse=True) + [0, 0])[:2]
        return tally, first / base, (first - second) / base if self.threshold == 0 else first / base - self.threshold


def recount(r):
    opening, closing = r["opening"], r["closing"]
    for key in ("openedBy", "authority", "judge"):
        need(opening[key].strip(), "opening: no " + key)
    need(len(bytes.fromhex(opening["nonce"])) == 16, "opening: nonce")
    need(binary(opening["proposal"]) != bytes(32), "opening: proposal")
    need(when(opening["time"]) <= when(opening["deadline"]), "opening: deadline")
    need(when(opening["time"]) <= when(closing["time"]), "closing: time")
    poll = Poll(opening)
    need([e["voter"] for e in r["evidence"]] == [v["name"] for v in poll.voters], "evidence: not one of each voter")
    papers = opening["papers"] or {}
    need(papers.keys() <= {v["name"] for v in poll.voters}, "opening: a paper of nobody")
    seats, cost, order = [], 0.0, closing["order"] or []
    for v, e in zip(poll.voters, r["evidence"]):
        need(not e["attempts"] or v["name"] in order, v["name"] + ": not in the order")
        hidden = v["name"] in papers and e["attempts"] and opening["judge"] == "ballot/1"
        need("paper" in e or not hidden, v["name"] + ": no paper")
        last = when(opening["time"])
        for a in e["attempts"]:
            need(last <= when(a["start"]) <= when(a["end"]) <= when(closing["time"]), v["name"] + ": times")
            last = when(a["start"])
            need(a["cost"] >= 0, v["name"] + ": cost")
            cost += float(a["cost"])
        if "paper" in e:
            p = e["paper"]
            texts = [t for o in p["options"] for t in (o["token"], o["text"])]
            digest = sha(fields(b"paper/v1\n", p["round"], p["nonce"], *texts))
            need(digest == binary(papers.get(v["name"], "")), v["name"] + ": paper")
            need(not p["options"] or sorted(o["text"] for o in p["options"]) == poll.options, v["name"] + ": options")
            need((p["round"], p["nonce"]) == (opening["round"], opening["nonce"]), v["name"] + ": paper of another round")
        seats.append(poll.seat(v, *cast(opening, v, e, poll.method)))
    need(float(closing["cost"]) == cost, "closing: cost")
    seed = bytes.fromhex(closing.get("seed", ""))
    lost = closing["outcome"] == "aborted" and not seed and not order
    if binary(opening["seed"]) != bytes(32) and not lost:
        need(sha(seed) == binary(opening["seed"]), "closing: seed")
        drawn = sorted((v["name"] for v in poll.voters), key=lambda n: (sha(seed, n.encode()), n.encode()))
        need(order == drawn[:len(order)], "closing: order")
    asked = [v["name"] in order for v in poll.voters]
    need(sum(asked) == len(order), "closing: order: somebody twice, or who is no voter")
    if closing["outcome"] != "aborted" and not all(asked) and when(closing["time"]) < when(opening["deadline"]):
        need(opening["early"] and poll.settled(seats, asked), "closing: not all were asked")
    if closing["outcome"] == "aborted":
        need(closing["reason"] and not closing["casts"] and not closing["tally"], "closing: aborted")
        return "aborted"
    for seat, e, c in zip(seats, r["evidence"], closing["casts"]):
        need(e["standing"] == c["standing"] == seat[1], "%s is %s" % (e["voter"], seat[1]))
    outcome, winner = poll.decide(seats)
    need((outcome, winner) == (closing["outcome"], closing.get("winner", "")), "closing: the ballots come to " + outcome)
    tally, share, margin = poll.figures(seats)
    same = lambda a, b: float(a) == float(b)
    need(tally.keys() == closing["tally"].keys() and all(same(x, closing["tally"][o]) for o, x in tally.items()), "closing: tally")
    need(same(share, closing["share"]) and same(margin, closing["margin"]), "closing: share and margin")
    need(closing["ballots"] == poll.sums(seats)[4] and closing["quorum"] == poll.quorum, "closing: ballots and quorum")
    need(closing["pivotal"] == poll.pivotal(seats), "closing: pivotal")
    return outcome


def verify(paths):
    found, counters, roots, nonces = [], {}, {}, []
    for path in paths:
        with open(path, "rb") as f:
            r, text = read(f.read())
        found.append(recount(r))
        proof, opening = r["proof"], r["opening"]
        need(proof["opened"]["checkpoint"] == proof["closed"]["checkpoint"], "proof: two checkpoints")
        need(proof["opened"]["index"] < proof["closed"]["index"], "proof: the opening comes after the closing")
        record = b'{"opening":%s,"evidence":%s,"closing":%s}' % tuple(text[n] for n in ("opening", "evidence", "closing"))
        included("opened", proof["opened"], b"opening/v1\n", text["opening"])
        included("closed", proof["closed"], b"closing/v1\n", record)
        head, log = proof["closed"]["checkpoint"].split("\n"), log_of(proof, roots)
        need(roots.setdefault((log, head[1]), head[2]) == head[2], "log: forked")
        need(opening["nonce"].lower() not in nonces, "two rounds with one nonce")
        nonces.append(opening["nonce"].lower())
        counters.setdefault(spelling(opening["bip"]), []).append((int(opening["counter"]), int(proof["opened"]["index"])))
    for bip, seen in counters.items():
        numbers = [n for n, _ in sorted(seen)]
        need(numbers == list(range(1, len(seen) + 1)), "rounds on %s: numbers %s" % (bip, numbers))
        need(sorted(seen) == sorted(seen, key=lambda s: s[1]), "rounds on %s: in another order in the log" % bip)
    return found


def main(paths):
    if not paths:
        print(__doc__.strip())
        return 2
    try:
        print("RECOUNTED", ", ".join(verify(paths)))
        return 0
    except Unknown as e:
        print("UNKNOWN", e)
        return 2
    except OSError as e:
        print("UNKNOWN", e)
        return 2
    except (Failed, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError) as e:
        print("FAILED", type(e).__name__ if not isinstance(e, Failed) else "", e)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
