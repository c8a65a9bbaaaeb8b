"""Texts that were put together from shapes: see section 6 of the layout's page."""
import re

from .errors import ColumnsError

NESTING_MAX = 4
COLUMNS_MAX = 65536       # of all shapes of a batch
TEXT_FREE = 16            # characters of a text that is put together that cost one value of the budget
DIGITS_MAX = 18
NUMBER, TEXT, TIME, LIST = "\1", "\2", "\3", "\4"
MARK = re.compile("(\3[T ][0-9]|[\1\2\4])")
DAY_FIRST, DAY_LAST = -719528, 2932896      # 0000-01-01, 9999-12-31


def printed(m, digits, style):
    text = str(abs(m)).rjust(digits + 1, "0")
    if digits:
        whole, rest = text[:-digits], text[-digits:]
        if style:
            rest = rest.rstrip("0")
        if not rest and style == 32:
            rest = "0"
        text = f"{whole}.{rest}" if rest else whole
    return "-" + text if m < 0 else text


def day_text(day):
    """Years that begin with March: the day that some have more is their last."""
    if not DAY_FIRST <= day <= DAY_LAST:
        raise ColumnsError("value", "a time's year has not four digits")
    era, of_era = divmod(day + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return f"{era * 400 + year + (month <= 2):04}-{month:02}-{of_year - (153 * shifted + 2) // 5 + 1:02}"


def time_text(value, between, digits):
    seconds, fraction = divmod(value, 10**digits)
    day, second = divmod(seconds, 86400)
    behind = f".{fraction:0{digits}}" if digits else ""
    return f"{day_text(day)}{between}{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{behind}"


class Shapes:
    """The columns of shapes of one batch, numbered on behind those of the row schema."""

    def __init__(self, columns):
        self.columns, self.first, self.count, self.tables, self.depth = columns, 0, 0, 0, 0
        self.marks = {NUMBER: self._numbers, TEXT: self._texts, LIST: self._lists}

    def texts(self, indices, entries, table, rows):
        if self.depth == NESTING_MAX:
            raise ColumnsError("nesting", f"shapes nest deeper than {NESTING_MAX}")
        self.depth += 1
        uses = {}
        for at, i in enumerate(indices):
            uses.setdefault(i, []).append(at)
        texts = [None] * len(indices)
        for i, at in uses.items():
            parts = MARK.split(entries[i])
            if any(TIME in part for part in parts[::2]):
                raise ColumnsError("mark", "a mark of a time is not whole")
            where = rows if len(at) == len(indices) else [rows[k] for k in at]
            leaves = [self._mark(mark, table, where) for mark in parts[1::2]]
            for k, text in zip(at, self._filled(parts, leaves, len(at))):
                texts[k] = text
        self.depth -= 1
        return texts

    def _filled(self, parts, leaves, count):
        free = sum(map(len, parts[::2]))
        parts = list(parts)
        for k in range(count):
            parts[1::2] = [leaf[k] for leaf in leaves]
            self.columns.pay((free + sum(map(len, parts[1::2]))) // TEXT_FREE)
            yield "".join(parts)

    def _number(self):
        """Of the next column."""
        if self.count == COLUMNS_MAX:
            raise ColumnsError("shapes", f"over {COLUMNS_MAX} columns of shapes")
        self.count += 1
        return self.first + self.count - 1

    def _mark(self, mark, table, rows):
        return self._times(mark, table, rows) if mark[0] == TIME else self.marks[mark](table, rows)

    def _integers(self, column, table, rows):
        values = self.columns.integers(len(rows), column, table, rows)
        self.columns.keys[column] = (table, rows, values)
        return values

    def _numbers(self, table, rows):
        column, mode = self._number(), self.columns.one()
        if mode == -1:
            return self.columns.texts_of(len(rows), [], column, table, rows)
        digits, style = mode & 31, mode & ~31
        if mode < 0 or digits > DIGITS_MAX or style not in ((0, 32, 64) if digits else (0,)):
            raise ColumnsError("mode", f"mode {mode} of printed numbers")
        return [printed(m, digits, style) for m in self._integers(column, table, rows)]

    def _texts(self, table, rows):
        return self.columns.texts_of(len(rows), [], self._number(), table, rows)

    def _times(self, mark, table, rows):
        return [time_text(v, mark[1], int(mark[2])) for v in self._integers(self._number(), table, rows)]

    def _lists(self, table, rows):
        column, items_column = self._number(), self._number()
        lengths = self._integers(column, table, rows)
        if min(lengths) < 0:
            raise ColumnsError("length", "below 0")
        total = sum(lengths)
        self.columns.pay(total)
        self.tables -= 1
        items = self.columns.texts_of(total, [], items_column, self.tables, range(total))
        lists, at = [], 0
        for n in lengths:
            part, at = items[at:at + n], at + n
            self.columns.pay((sum(map(len, part)) + max(n - 1, 0)) // TEXT_FREE)
            lists.append(",".join(part))
        return lists
