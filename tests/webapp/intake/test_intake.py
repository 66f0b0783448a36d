"""Intake: every line of a list, a CSV or a JSON body gets its own verdict, and nothing that is sent breaks it."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
import zipfile

import base58
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import InputError
from tasks.measures.well_known import DEFAULT_EXCLUDED, PROGRAMS, USDC
from webapp.intake.addresses import INVISIBLE, is_address
from webapp.intake.encoding import decode
from webapp.intake.rows import LABEL_AT_MOST, ROWS_AT_MOST, TEXT_AT_MOST, Intake, Row, read, read_json_wallets


def address(number: int) -> str:
    return base58.b58encode(hashlib.sha256(str(number).encode()).digest()).decode()


A, B, C, D = (address(number) for number in range(4))
SIGNATURE = base58.b58encode(bytes(range(100, 164))).decode()


def only(intake: Intake) -> Row:
    (row,) = intake.rows
    return row


def wallets(text: str) -> list[tuple[int, str | None, str | None]]:
    intake = read(text)
    assert intake.rows == intake.accepted, [row for row in intake.rows if row.verdict != "accepted"]
    return [(row.line, row.address, row.label) for row in intake.rows]


def reason(text: str) -> str | None:
    row = only(read(text))
    assert row.verdict == "rejected"
    return row.reason


# Lists


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t", "|", ", ", " | ", "  ", "\u00a0", "\u2028", ",;"])
def test_addresses_on_one_line_are_a_list_whatever_separates_them(separator):
    assert wallets(separator.join([A, B, C])) == [(1, A, None), (1, B, None), (1, C, None)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_every_system_s_way_and_are_counted_physically(end):
    assert wallets(f"{A}{end}{end}# a comment{end}{B},desk{end}") == [(1, A, None), (4, B, "desk")]


def test_nothing_gives_no_rows():
    for text in ("", "\n\n", "  \t \r\n", "# only a comment", "\ufeff", "\u200b\n\u2060"):
        assert read(text) == Intake(())


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("{a} east desk", "east desk"),
        ("{a}\teast desk", "east desk"),
        ("{a},east desk", "east desk"),
        ("{a} ; east desk", "east desk"),
        ("{a}|east desk", "east desk"),
        ("east desk,{a}", "east desk"),
        ("east desk {a}", "east desk"),
        ("east desk;{a}", "east desk"),
        ("{a} - east desk", "east desk"),
        ("{a}: east desk", "east desk"),
        ("- {a} east desk", "east desk"),
        ("2. {a} dev alt 1", "dev alt 1"),
        ("{a},", None),
        (",{a}", None),
        ('"{a}"', None),
        ("<{a}>", None),
        ("{a} 12.5", None),
        ("7,{a},1,250.00", None),
        ("1,{a},desk,note", "desk"),
        ("{a},east; desk|2", "east; desk|2"),
        ("{a},“quoted”", "“quoted”"),
        ("{a},https://x.com/somebody_with_a_long_name_2024", "https://x.com/somebody_with_a_long_name_2024"),
        ("{a},thisisoneverylonglabelwithoutspaces", "thisisoneverylonglabelwithoutspaces"),
    ],
)
def test_a_label_is_found_on_either_side(line, label):
    assert wallets(line.format(a=A)) == [(1, A, label)]


def test_several_wallets_with_labels_on_one_line_keep_theirs():
    assert wallets(f"{A} east desk, {B} west desk") == [(1, A, "east desk"), (1, B, "west desk")]


def test_a_pasted_json_list_is_a_list():
    assert wallets(f'[ "{A}", "{B}" ]') == [(1, A, None), (1, B, None)]


def test_one_bad_word_does_not_hide_a_long_list():
    intake = read(" ".join([address(number) for number in range(12)] + ["oops"]))
    assert (len(intake.accepted), len(intake.rejected)) == (12, 1)


def test_a_valid_address_goes_before_a_broken_one_of_the_same_line():
    assert wallets(f"{SIGNATURE},{A},desk") == [(1, A, "desk")]


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("names", "row", "label"),
    [
        (["address", "label"], [A, "desk"], "desk"),
        (["Label", "Address"], ["desk", A], "desk"),
        (["NAME", "wallet"], ["desk", A], "desk"),
        (["No", "Wallet Address", "x", "Tag"], ["1", A, B, "7"], "7"),
        (["pubkey", "note"], [A, "desk"], "desk"),
        (["account", "owner"], [B, A], None),
        (["account", "amount"], [A, "12"], None),
        (["wallet_address", "label"], [A], None),
    ],
)
def test_a_header_says_where_things_stand(delimiter, names, row, label):
    text = delimiter.join(names) + "\n" + delimiter.join(row)
    assert wallets(text) == [(2, A, label)]


@pytest.mark.parametrize("header", ["address", "Wallet", "wallet address", "address label", "\ufeff\nsep=;\naddress"])
def test_a_header_without_delimiter_is_a_header_too(header):
    assert [(one, label) for _, one, label in wallets(f"{header}\n{A} east desk\n{B}")] == [(A, "east desk"), (B, None)]


def test_a_header_is_looked_for_only_on_the_first_line():
    assert reason(f"address\n{A}\naddress".replace(A, "# nothing")) == "7 characters; an address has 32 to 44."


def test_a_row_without_the_header_s_delimiter_is_still_read():
    assert wallets(f"address,label\n{A}\n{B} west") == [(2, A, None), (3, B, "west")]


def test_quotes_may_hold_delimiters_quotes_and_line_breaks():
    text = f'address,label\n"{A}","east, ""the"" desk"\n{B},"two\nlines"\n"{C}" , plain\n{D},6" gun'
    assert wallets(text) == [(2, A, 'east, "the" desk'), (3, B, "two lines"), (5, C, "plain"), (6, D, '6" gun')]
    assert wallets(f'"west\r\ndesk";{A}\r\n{B}') == [(1, A, "west desk"), (3, B, None)]


@pytest.mark.parametrize("broken", ['{a},"unclosed', '"{a},unclosed', '{a},"unclosed""'])
def test_a_quote_that_never_closes_spoils_no_other_line(broken):
    intake = read(f'{broken.format(a=A)}\n{B},west\n{C},"north"\n{D}')
    assert [row.address for row in intake.accepted] == [A, B, C, D]
    assert [row.label for row in intake.accepted][1:] == ["west", "north", None]


def test_a_quote_opened_and_closed_around_other_wallets_joins_nothing():
    assert [row[1] for row in wallets(f'"{A}\n{B}\n{C}"')] == [A, B, C]


@pytest.mark.parametrize("line", [",,,", ";", "|", '"",""', ", ,"])
def test_a_row_of_separators_is_rejected_as_empty(line):
    assert reason(line) == "This line is empty but for its separators."
    assert reason(f"address,label,x\n{line}") == "This line is empty but for its separators."


def test_a_label_alone_is_rejected_and_kept_for_display():
    for text in (",east desk", "address,label\n,east desk"):
        row = only(read(text))
        assert (row.reason, row.label, row.address) == ("No address on this line; only a label.", "east desk", None)


# Bytes


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"], ids=str
)
def test_every_usual_encoding_is_read(encoding):
    text = f"address,label\r\n{A},Zürich – desk\r\n"
    assert decode(text.encode(encoding)) == text


def test_marked_big_endian_and_empty_files_are_read():
    assert decode(b"\xfe\xff" + A.encode("utf-16-be")) == A
    assert decode(b"") == ""


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (archive("[Content_Types].xml", "xl/workbook.xml"), "This is an Excel workbook; save it as CSV and choose"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "This is an Excel workbook; save it as CSV and choose"),
        (archive("wallets.csv"), "This is a ZIP archive; unpack it"),
        (b"%PDF-1.7\n", "This is a PDF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "This is a picture"),
        (b"\xff\xd8\xff\xe0", "This is a picture"),
        (b"\x1f\x8b\x08\x00", "This file is compressed"),
        (bytes(range(256)), "This file is not text"),
        (b"abc\x00def", "This file is not text"),
        (b"\x01\x02\x03\x04", "This file is not text"),
    ],
)
def test_a_file_that_is_no_text_is_refused_by_name(data, sentence):
    with pytest.raises(InputError) as error:
        decode(data)
    assert error.value.reason.startswith(sentence)
    assert error.value.line is None


def test_one_damaged_character_spoils_no_file():
    assert [row.address for row in read(decode(f"{A},tr\x07easury\n{B}".encode())).accepted] == [A, B]


# Links


@pytest.mark.parametrize(
    "link",
    [
        "https://solscan.io/account/{a}",
        "http://solscan.io/account/{a}/",
        "solscan.io/account/{a}?cluster=devnet#tokens",
        "https://explorer.solana.com/address/{a}?cluster=mainnet-beta",
        "explorer.solana.com/address/{a}/tokens",
        "https://birdeye.so/profile/{a}?chain=solana",
        "https://www.birdeye.so/solana/wallet-analyzer/{a}",
        "https://solana.fm/address/{a}/transactions?cluster=x",
        "https://xray.helius.xyz/account/{a}",
        "https://orb.helius.dev/address/{a}/history",
        "HTTPS://EXAMPLE.COM:8080/?wallet={a}",
    ],
)
def test_a_link_to_a_wallet_is_reduced_to_its_address(link):
    link = link.format(a=A)
    assert wallets(link) == [(1, A, None)]
    assert wallets(f"{link} east desk") == [(1, A, "east desk")]
    assert wallets(f"east desk,{link}") == [(1, A, "east desk")]
    assert wallets(f"{link}, {B}") == [(1, A, None), (1, B, None)]


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (f"https://solscan.io/token/{A}", "This link leads to a token, not a wallet."),
        (f"birdeye.so/token/{A}?chain=solana", "This link leads to a token, not a wallet."),
        (f"https://solscan.io/tx/{SIGNATURE}", "This link leads to a transaction, not a wallet."),
        ("https://solscan.io/block/123456789", "This link leads to a block, not a wallet."),
        (f"https://dexscreener.com/solana/{A}", "This link leads to a market, not a wallet."),
        (f"https://solscan.io/account/{A[:-1]}0", "Has 0, which no address has; copy it again."),
        ("https://solscan.io/leaderboard", "No address in this link; paste the wallet’s address itself."),
    ],
)
def test_a_link_to_something_else_says_so(link, sentence):
    assert reason(link) == sentence


# Reasons


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJos0l", "Has 0 and l, which no address has; copy it again."),
        (A[:-4] + "0OIl", "Has 0, O, I and others, which no address has; copy it again."),
        (A[:-1] + "-", "Has -, which no address has; copy it again."),
        (A + "z" * (45 - len(A)), "45 characters; an address has 32 to 44."),
        ("hello", "5 characters; an address has 32 to 44."),
        ("x", "1 character; an address has 32 to 44."),
        ("x" * 5000, "5,000 characters; an address has 32 to 44."),
        (base58.b58encode(b"\xff" * 31).decode(), "Decodes to 31 bytes; an address has 32."),
        ("z" * 44, "Decodes to 33 bytes; an address has 32."),
        ("hello world", "No address on this line."),
        ("0x" + "aB" * 20, "This is an Ethereum address; Walletkin reads Solana wallets."),
        ("0x" + "ab" * 32, "This is hexadecimal, as other chains write it; Walletkin reads Solana wallets."),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "This is a Bitcoin address; Walletkin reads Solana wallets."),
        ("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "This is a Bitcoin address; Walletkin reads Solana wallets."),
        ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "This is a Tron address; Walletkin reads Solana wallets."),
        ("URhR…Y4Bu", "This address is shortened; paste all of it."),
        ("URhR...Y4Bu", "This address is shortened; paste all of it."),
        (USDC, "This is a token mint (USDC), not a wallet."),
        ("1" * 32, "This is a program (System program), not a wallet."),
        ("А" + A[1:], "Has А (Cyrillic capital letter A), which no address has; copy it again."),
        (A[:-1] + "Ａ", "Has Ａ (Fullwidth Latin capital letter A), which no address has; copy it again."),
        (A[:20] + "\u0301" + A[20:], "Has Combining acute accent, which no address has; copy it again."),
    ],
)
def test_the_reason_says_what_is_wrong_and_what_to_do(word, sentence):
    assert reason(word) == sentence
    assert reason(f"{word},a label") == sentence.replace(
        "No address on this line.", "No address on this line; only a label."
    )


def test_a_signature_may_be_a_private_key_and_is_not_shown_in_full():
    row = only(read(f"{SIGNATURE},mine"))
    assert row.reason == "This is a transaction signature, not a wallet."
    assert row.text == f"{SIGNATURE[:4]}…{SIGNATURE[-4:]}"
    assert row.label == "mine"


def test_every_well_known_program_and_mint_is_rejected():
    intake = read("\n".join([*PROGRAMS, *DEFAULT_EXCLUDED]))
    assert len(intake.rejected) == len(PROGRAMS) + len(DEFAULT_EXCLUDED) == len(intake.rows)


def test_programs_and_mints_can_be_named_by_the_caller():
    intake = read(f"{A}\n{B}\n{USDC}", programs={A: "My program"}, mints={B: "KELP"})
    assert [row.reason for row in intake.rows] == [
        "This is a program (My program), not a wallet.",
        "This is a token mint (KELP), not a wallet.",
        None,
    ]


def test_the_registry_is_asked_once_about_all_that_is_good():
    asked = []

    def known_mints(addresses):
        asked.append(list(addresses))
        return {B}

    intake = read(f"{A}\n{B},kelp\n{A}\nnonsense\n{USDC}\n{B}", known_mints=known_mints)
    assert asked == [[A, B]]
    assert [row.verdict for row in intake.rows] == ["accepted", "rejected", "duplicate", *["rejected"] * 3]
    assert intake.rows[1] == Row(2, B, B, "kelp", "rejected", "This is a token mint, not a wallet.")


def test_the_registry_is_not_asked_about_nothing():
    read("nonsense", known_mints=lambda addresses: pytest.fail("asked"))


# Duplicates and the limit


@pytest.mark.parametrize(
    ("first", "second", "sentence", "label"),
    [
        ("treasury", "", "Same as line 1, whose label is kept.", "treasury"),
        ("east desk", "east desk 9", "Same as line 1; the label “east desk” is kept.", "east desk"),
        ("desk", "desk", "Same as line 1.", "desk"),
        ("", "", "Same as line 1.", None),
        ("", "late", "Same as line 1, which takes this label.", "late"),
    ],
)
def test_a_duplicate_names_the_line_and_the_label_that_stays(first, second, sentence, label):
    intake = read(f"{A},{first}\n{B}\nsolscan.io/account/{A},{second}")
    assert [row.reason for row in intake.duplicates] == [sentence]
    assert intake.accepted[0] == Row(1, A, A, label, "accepted", None)
    assert [row.line for row in intake.accepted] == [1, 2]


def test_a_label_is_taken_once():
    intake = read(f"{A}\n{A},one\n{A},two")
    assert [row.reason for row in intake.duplicates] == [
        "Same as line 1, which takes this label.",
        "Same as line 1; the label “one” is kept.",
    ]


def test_what_is_over_the_limit_is_left_out_but_duplicates_stay_duplicates():
    intake = read(f"{A}\n{B}\n{A}\nbad\n{C}", most=2)
    assert [row.verdict for row in intake.rows] == ["accepted", "accepted", "duplicate", "rejected", "rejected"]
    assert intake.rows[-1].reason == "Over the limit of 2 wallets; left out."
    assert intake.rows[-1].address == C
    many = read("\n".join(address(number) for number in range(10_001)))
    assert many.rejected[0].reason == "Over the limit of 10,000 wallets; left out."


# Labels and text


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("e\u0301clair", "éclair"),
        ("  padded  out ", "padded out"),
        ("a\x07b\x7fc\x9bd", "abcd"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("a\u2066b\u2069c\u200fd\u200be\u061cf", "abcdef"),
        ("\u200b", None),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("=HYPERLINK(A1)", "=HYPERLINK(A1)"),
        ("❤️ desk", "❤️ desk"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_labels_are_cleaned_but_kept_as_text(written, label):
    ((_, _, found),) = wallets(f"address,label\n{A},{written}")
    assert found == label


def test_a_label_of_nothing_but_accents_is_cut_before_it_costs_time():
    ((_, _, found),) = wallets(f"{A},a" + "\u0301\u0316" * 900_000)
    assert found is not None
    assert len(found) == LABEL_AT_MOST


def test_invisible_characters_around_and_in_an_address_do_no_harm():
    assert wallets(f"\ufeff{A[:9]}\u200b{A[9:]}\u200e, desk") == [(1, A, "desk")]


def test_text_is_short_and_harmless():
    row = only(read("no\x00 \u202eaddress\x1b[31m" + " here" * 1000))
    assert row.text.startswith("no\ufffd \ufffdaddress\ufffd[31m here")
    assert len(row.text) == TEXT_AT_MOST


# JSON


def test_json_wallets_are_objects_or_strings():
    intake = read_json_wallets([A, {"address": B, "label": "desk"}, {"address": C, "label": None}, {"address": A}])
    assert [(row.line, row.address, row.label, row.verdict) for row in intake.rows] == [
        (1, A, None, "accepted"),
        (2, B, "desk", "accepted"),
        (3, C, None, "accepted"),
        (4, A, None, "duplicate"),
    ]
    assert read_json_wallets([]) == Intake(())


@pytest.mark.parametrize("item", [None, 7, True, 1.5, [], [A], {}, {"address": None}, {"address": {"x": A}}])
def test_a_json_item_of_the_wrong_kind_is_rejected_alone(item):
    intake = read_json_wallets([item, A])
    assert [row.verdict for row in intake.rows] == ["rejected", "accepted"]
    assert intake.rows[0].reason == "Each wallet is an address, or an object with “address” and “label”, both text."


def test_json_labels_must_be_text_and_addresses_are_judged_as_elsewhere():
    items = [{"address": A, "label": 7}, {"address": " ", "label": "x"}, "", USDC, f" {B} ", f"solscan.io/account/{C}"]
    assert [row.reason for row in read_json_wallets(items).rows] == [
        "The label must be text.",
        "No address here; only a label.",
        "No address here.",
        "This is a token mint (USDC), not a wallet.",
        None,
        None,
    ]


@pytest.mark.parametrize("items", [None, "text", {"address": A}, 7])
def test_json_that_is_no_list_is_refused_whole(items):
    with pytest.raises(InputError, match="must be a list"):
        read_json_wallets(items)


# Any input at all

PIECES = st.sampled_from(
    [A, B, C, A[:-1], A + "0", SIGNATURE, USDC, f"solscan.io/account/{D}", "desk", "7", "#", "address", "label", "А"]
    + ["wallet address;name", ",", ";", "\t", "|", " ", '"', '""', "'", "\n", "\r", "\r\n", "\u2028", "\x00", "\ud800"]
    + ["\u200b", "\u202e", "=1+1", "\x85", "\x1a", "\ufeff", "e\u0301" * 50, "[", "]", "{", "}", '["', '":']
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join)


def check_promises(intake: Intake) -> None:
    accepted = [row.address for row in intake.accepted]
    assert len(set(accepted)) == len(accepted)
    assert all(len(base58.b58decode(one)) == 32 for one in accepted)
    assert [row.line for row in intake.rows] == sorted(row.line for row in intake.rows)
    assert len(intake.accepted) + len(intake.duplicates) + len(intake.rejected) == len(intake.rows)
    for row in intake.rows:
        assert (row.reason is None) == (row.verdict == "accepted")
        assert row.text
        assert len(row.text) <= TEXT_AT_MOST
        assert row.label is None or 0 < len(row.label) <= LABEL_AT_MOST
        f"{row.text}{row.label}{row.reason}".encode()
        assert not INVISIBLE.search(f"{row.text}{row.label}")


def lines_with_content(text: str) -> list[int]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    seen = [INVISIBLE.sub("", line.strip()).strip() for line in lines]
    return [number for number, line in enumerate(seen, start=1) if line and not line.startswith("#")]


@given(st.binary(max_size=400) | TEXTS.map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_become_rows_or_one_input_error(data):
    try:
        text = decode(data)
    except InputError:
        return
    check_promises(read(text))


@given(TEXTS)
@example("\ud800")
@example('"a\n"\n' * 3)
def test_any_text_keeps_every_promise(text):
    intake = read(text)
    check_promises(intake)
    assert {row.line for row in intake.rows} <= set(lines_with_content(text))


@given(TEXTS.map(lambda text: f"{A}\n" + text.replace('"', "'")))
def test_every_line_with_content_gets_a_verdict(text):
    assert {row.line for row in read(text).rows} == set(lines_with_content(text))


def as_csv(labels: list[str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerows([["address", "label"], *([address(number), label] for number, label in enumerate(labels))])
    return file.getvalue()


LABELS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, categories=["L", "N", "P", "S", "Zs"]), max_size=80
)


@given(st.lists(LABELS, min_size=2, max_size=8), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_a_csv_that_a_program_wrote_comes_back_as_it_was(labels, encoding):
    text = as_csv(labels)
    assert decode(text.encode(encoding)) == text
    tidy = [" ".join(unicodedata.normalize("NFC", label).split()) or None for label in labels]
    assert wallets(text) == [(number + 2, address(number), label) for number, label in enumerate(tidy)]


@given(st.binary(min_size=30, max_size=34) | st.binary(min_size=1, max_size=3).map(lambda tail: bytes(31) + tail))
def test_an_address_is_what_decodes_to_32_bytes(data):
    assert is_address(base58.b58encode(data).decode()) == (len(data) == 32)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | TEXTS,
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["address", "label"]), inner),
    )
)
def test_any_json_becomes_rows_or_one_input_error(items):
    if isinstance(items, list):
        intake = read_json_wallets(items)
        assert [row.line for row in intake.rows] == list(range(1, len(items) + 1))
    else:
        with pytest.raises(InputError):
            read_json_wallets(items)


# Large inputs (how long they take is measured by `make bench`)

MEGABYTES_2 = 2_000_000
MANY = [address(number) for number in range(10_000)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{one},label {number}" for number, one in enumerate(MANY)),
        "\n".join(f"{one} label {number}" for number, one in enumerate(MANY)),
        "address,label\n" + "\n".join(f'"{one}","label, {number}"' for number, one in enumerate(MANY)),
        f"{A}\n" * 10_000,
        f"{A},desk\n" * 10_000,
        " ".join(MANY),
    ],
    ids=["labelled", "spoken", "quoted", "duplicates", "labelled duplicates", "one line"],
)
def test_ten_thousand_rows_are_each_judged(text):
    intake = read(text)
    assert len(intake.rows) == 10_000
    assert intake.rejected == ()
    assert len(intake.accepted) in (1, 10_000)


@pytest.mark.parametrize(
    "piece",
    ["a", ",", "a,", "a ", '"', ',"', "a.", "a.b/", "/", "1", "А", "a\u0301", "\u200b", "\x00", '"a', " ", "\n", "…"],
)
def test_two_megabytes_of_junk_hold_no_wallet(piece):
    intake = read(piece * (MEGABYTES_2 // len(piece.encode())))
    assert intake.accepted == ()
    assert len(intake.rows) <= ROWS_AT_MOST + 1
    assert all(len(row.text) <= 200 for row in intake.rows)


@pytest.mark.parametrize("piece", ['a,"b\n', "a\n", "a1" * 13 + " ", A + " ", 'a,"' + "b" * 190 + "\n"])
def test_rows_are_bounded(piece):
    intake = read(piece * (MEGABYTES_2 // len(piece)))
    assert len(intake.rows) <= ROWS_AT_MOST + 1
    if len(intake.rows) > ROWS_AT_MOST:
        assert intake.rows[-1].reason == "More than 50,000 rows; nothing from here on was read."
