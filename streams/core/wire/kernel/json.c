/* JSON readings of the common form to columns. Never more lenient than the exact reader.
 *
 * Whatever is not of the common form makes its whole message declined; Python reads that. Accepted is: an
 * object, or an array of objects; known fields, each at most once; names without escapes in them; numbers
 * as JSON writes them. What names a reading (tenant, source, metric, attributes, producer) is not looked
 * into: its bytes, as they came, are looked up, and Python reads strictly those that are new.
 *
 * No byte at or behind the end of a message counts. Words of eight bytes are loaded across it, so the
 * caller leaves 16 bytes behind the last message. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"

#if FLT_EVAL_METHOD != 0 || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "doubles have to be exact, and words little-endian; without this kernel everything works as well"
#endif

enum { TENANT, SOURCE, METRIC, ATTRIBUTES, PRODUCER, TIME, VALUE, EPOCH, SEQUENCE, QUALITY, REVISION };
enum { REQUIRED = 1 << SOURCE | 1 << METRIC | 1 << TIME | 1 << VALUE };
enum { MAX_NUMBER_BYTES = 63 };

static const int64_t UNNUMBERED = -1;

const uint32_t streamgauge_source = SOURCE_CHECKSUM; /* a checksum, so that no library is used with other code */

/* --- Tokens ----------------------------------------------------------------------------------------- */

static text skip_space(text p, text end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static uint64_t bytes_equal(uint64_t word, uint8_t octet) {
    uint64_t zero_where_equal = word ^ 0x0101010101010101u * octet;
    return (zero_where_equal - 0x0101010101010101u) & ~zero_where_equal & 0x8080808080808080u;
}

/* Returns the quote that ends the string whose content begins at p. */
static text string_end(text p, text end) {
    while (p < end) {
        uint64_t word = word_at(p), stops = bytes_equal(word, '"') | bytes_equal(word, '\\');
        if (!stops) {
            p += 8;
            continue;
        }
        p += __builtin_ctzll(stops) / 8; /* the lowest mark is exact */
        if (p >= end) break;
        if (*p == '"') return p;
        p += 2;
    }
    return NULL;
}

/* Returns the brace that ends the attributes that begin at p; what is between is for Python to judge. */
static text attributes_end(text p, text end) {
    for (; p && p < end; p++) {
        if (*p == '"') {
            p = string_end(p + 1, end);
            if (!p) return NULL;
        } else if (*p == '}')
            return p;
        else if (*p == '{' || *p == '[')
            return NULL;
    }
    return NULL;
}

static int is(text p, text end, const char *wanted, int64_t bytes) {
    return end - p >= bytes && !memcmp(p, wanted, (size_t)bytes);
}
#define IS(p, end, literal) is(p, end, literal, sizeof literal - 1)

static int field_at(text p, text end, int *bytes) {
#define FIELD(number, name)                                                                                  \
    if (IS(p, end, name "\"")) return *bytes = sizeof name, number
    switch (p < end ? *p : 0) {
    case 's': FIELD(SOURCE, "source"); FIELD(SEQUENCE, "sequence"); break;
    case 'm': FIELD(METRIC, "metric"); break;
    case 't': FIELD(TIME, "time"); FIELD(TENANT, "tenant"); break;
    case 'v': FIELD(VALUE, "value"); break;
    case 'a': FIELD(ATTRIBUTES, "attributes"); break;
    case 'p': FIELD(PRODUCER, "producer"); break;
    case 'e': FIELD(EPOCH, "epoch"); break;
    case 'q': FIELD(QUALITY, "quality"); break;
    case 'r': FIELD(REVISION, "revision"); break;
    }
    return -1;
#undef FIELD
}

struct number {
    uint64_t digits;
    int64_t exponent;
    int negative, whole, exact;
};

static int are_digits(uint64_t word) {
    return !(((word + 0x4646464646464646u) | (word - 0x3030303030303030u)) & 0x8080808080808080u);
}

static uint64_t number_of(uint64_t eight_digits) {
    uint64_t pairs = (eight_digits & 0x0f0f0f0f0f0f0f0fu) * (10 << 8 | 1) >> 8 & 0x00ff00ff00ff00ffu;
    uint64_t fours = pairs * (100 << 16 | 1) >> 16 & 0x0000ffff0000ffffu;
    return fours * (10000ull << 32 | 1) >> 32;
}

static text read_digits(text p, text end, struct number *n) {
    uint64_t digits = n->digits;
    for (; end - p >= 8 && digits < 100000000000u && are_digits(word_at(p)); p += 8)
        digits = digits * 100000000u + number_of(word_at(p));
    for (unsigned digit; p < end && (digit = *p - (unsigned)'0') <= 9; p++) {
        if (digits > (UINT64_MAX - 9) / 10)
            n->exact = 0;
        else
            digits = digits * 10 + digit;
    }
    n->digits = digits;
    return p;
}

/* Reads a number as JSON writes it; digits and exponent say nothing where it is not exact. */
static text read_number(text p, text end, struct number *n) {
    *n = (struct number){.whole = 1, .exact = 1};
    if (p < end && *p == '-') n->negative = 1, p++;
    text begin = p;
    p = read_digits(p, end, n);
    if (p == begin || (*begin == '0' && p - begin > 1)) return NULL;
    if (p < end && *p == '.') {
        text fraction = ++p;
        p = read_digits(p, end, n);
        if (p == fraction) return NULL;
        n->exponent = fraction - p;
        n->whole = 0;
    }
    if (p < end && (*p | 0x20) == 'e') {
        struct number e = {.exact = 1};
        int negative = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        begin = p;
        p = read_digits(p, end, &e);
        if (p == begin) return NULL;
        if (!e.exact || e.digits > 10000) n->exact = 0;
        else n->exponent += negative ? -(int64_t)e.digits : (int64_t)e.digits;
        n->whole = 0;
    }
    return p;
}

static text read_integer(text p, text end, int64_t *integer) {
    struct number n;
    p = read_number(p, end, &n);
    if (!p || !n.whole || !n.exact || n.digits > INT64_MAX || (n.negative && !n.digits)) return NULL;
    *integer = n.negative ? -(int64_t)n.digits : (int64_t)n.digits;
    return p;
}

static text read_value(text p, text end, double *value) {
    static const double ten_to[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct number n;
    text begin = p;
    if (IS(p, end, "null")) return *value = NAN, p + 4;
    p = read_number(p, end, &n);
    if (!p || (n.whole && n.negative && !n.digits)) return NULL;
    if (n.exact && n.whole)
        *value = (double)n.digits;
    else if (n.exact && n.digits <= (uint64_t)1 << 53 && n.exponent >= -22 && n.exponent <= 22)
        *value = n.exponent < 0 ? (double)n.digits / ten_to[-n.exponent] : (double)n.digits * ten_to[n.exponent];
    else {
        char copy[MAX_NUMBER_BYTES + 1] = {0}, *stopped;
        if (p - begin > MAX_NUMBER_BYTES) return NULL;
        memcpy(copy, begin, (size_t)(p - begin));
        *value = strtod(copy, &stopped);
        /* A locale with another decimal point makes it stop before the end. */
        return stopped == copy + (p - begin) && isfinite(*value) && *value != 0 ? p : NULL;
    }
    if (n.negative) *value = -*value;
    return p;
}

/* --- Times ------------------------------------------------------------------------------------------ */

static int64_t pair(text p) {
    unsigned tens = p[0] - (unsigned)'0', ones = p[1] - (unsigned)'0';
    return tens <= 9 && ones <= 9 ? (int64_t)(tens * 10 + ones) : -1;
}

static int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
    static const int before[] = {306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275}; /* from March on */
    if (month <= 2) year--;
    return 365 * year + year / 4 - year / 100 + year / 400 + before[month - 1] + day - 719469;
}

/* Reads the rest of "2026-01-31T23:59:59.123456Z" (or +01:00 for Z), and its quote. A leap second is not
 * of the common form. */
static text read_time_text(text p, text end, int64_t *time_us) {
    static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    static const char form[] = "2026-01-31T23:59:59Z\"";
    if (end - p < (int64_t)sizeof form - 1) return NULL;
    int64_t century = pair(p), years = pair(p + 2), month = pair(p + 5), day = pair(p + 8);
    int64_t hour = pair(p + 11), minute = pair(p + 14), second = pair(p + 17), year = century * 100 + years;
    if (century < 0 || years < 0 || year < 1 || month < 1 || month > 12 || day < 1) return NULL;
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > days_of[month - 1] + (month == 2 && leap)) return NULL;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return NULL;
    if (p[4] != '-' || p[7] != '-' || p[13] != ':' || p[16] != ':') return NULL;
    if ((p[10] | 0x20) != 't' && p[10] != ' ') return NULL;
    int64_t total_s = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    int64_t fraction_us = 0, weight_us = 100000;
    p += 19;
    if (*p == '.') {
        text begin = ++p;
        for (unsigned digit; p < end && (digit = *p - (unsigned)'0') <= 9; p++, weight_us /= 10)
            fraction_us += digit * weight_us;
        if (p == begin || p - begin > 9) return NULL;
    }
    if (IS(p, end, "Z\"") || IS(p, end, "z\""))
        p++;
    else {
        static const char offset[] = "+01:00\"";
        if (end - p < (int64_t)sizeof offset - 1 || (*p != '+' && *p != '-') || p[3] != ':') return NULL;
        hour = pair(p + 1), minute = pair(p + 4);
        if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return NULL;
        total_s += (*p == '-' ? 1 : -1) * (hour * 3600 + minute * 60);
        p += 6;
    }
    *time_us = total_s * 1000000 + fraction_us;
    return *p == '"' ? p + 1 : NULL;
}

/* --- Readings --------------------------------------------------------------------------------------- */

/* Columns of so much room each, one behind the other, in this order. */
struct columns {
    int64_t *first, room;
};
enum { C_PACKED, C_TIME_US, C_VALUE, C_EPOCH, C_SEQUENCE, C_REVISION, C_QUALITY, C_INDEX };

static int64_t *cell(const struct columns *c, int column, int64_t row) { return c->first + column * c->room + row; }

static text read_quality(text p, text end, int64_t *quality) {
    if (IS(p, end, "\"good\"")) return *quality = 0, p + 6;
    if (IS(p, end, "\"uncertain\"")) return *quality = 1, p + 11;
    if (IS(p, end, "\"bad\"")) return *quality = 2, p + 5;
    return NULL;
}

static text read_span(text p, text end, int field, struct span *span) {
    text last = NULL;
    if (p < end && *p == (field == ATTRIBUTES ? '{' : '"'))
        last = field == ATTRIBUTES ? attributes_end(p + 1, end) : string_end(p + 1, end);
    else if ((field == ATTRIBUTES || field == PRODUCER) && IS(p, end, "null"))
        return p + 4; /* as if it were not there */
    if (!last) return NULL;
    *span = (struct span){p, (uint64_t)(last + 1 - p)};
    return last + 1;
}

/* Reads the object whose brace is before p into row n. */
static text read_reading(text p, text end, struct headers *h, const struct columns *c, int64_t n) {
    static const struct span null = {(text) "null\0\0\0\0\0\0\0\0\0\0\0", 4}; /* 16 bytes are copied */
    struct span header[HEADER_FIELDS] = {null, null, null, null, null};
    int64_t epoch = 0, sequence = UNNUMBERED, revision = 0, time_us = 0;
    int64_t quality = 0;
    double value = 0;
    unsigned seen = 0;
    for (;;) {
        p = skip_space(p, end);
        if (p >= end || *p != '"') return NULL;
        int bytes = 0, field = field_at(++p, end, &bytes);
        if (field < 0 || seen & 1u << field) return NULL;
        seen |= 1u << field;
        p = skip_space(p + bytes, end);
        if (p >= end || *p != ':') return NULL;
        p = skip_space(p + 1, end);
        switch (field) {
        case TIME: p = p < end && *p == '"' ? read_time_text(p + 1, end, &time_us) : read_integer(p, end, &time_us); break;
        case VALUE: p = read_value(p, end, &value); break;
        case EPOCH: p = read_integer(p, end, &epoch); break;
        case SEQUENCE:
            if (IS(p, end, "null")) p += 4;
            else if ((p = read_integer(p, end, &sequence)) && (sequence < 0 || sequence == INT64_MAX)) return NULL;
            break;
        case QUALITY: p = read_quality(p, end, &quality); break;
        case REVISION:
            p = read_integer(p, end, &revision);
            if (revision < 0 || revision > INT32_MAX) return NULL;
            break;
        default: p = read_span(p, end, field, &header[field]);
        }
        if (!p) return NULL;
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == '}') break;
        if (*p++ != ',') return NULL;
    }
    if ((seen & REQUIRED) != REQUIRED) return NULL;
    int64_t packed = look_up(h, header);
    if (packed == UNKNOWN) return NULL;
    *cell(c, C_PACKED, n) = packed;
    *cell(c, C_TIME_US, n) = time_us;
    memcpy(cell(c, C_VALUE, n), &value, sizeof value);
    *cell(c, C_EPOCH, n) = epoch;
    *cell(c, C_SEQUENCE, n) = sequence;
    *cell(c, C_REVISION, n) = revision;
    *cell(c, C_QUALITY, n) = quality;
    return p + 1;
}

/* Reads a message into rows from n on; returns how many, 0 where it is declined. */
static int64_t read_message(text p, text end, struct headers *h, const struct columns *c, int64_t n, int64_t most) {
    p = skip_space(p, end);
    int array = p < end && *p == '[';
    if (array) p = skip_space(p + 1, end);
    for (int64_t count = 0; count < most;) {
        if (p >= end || *p != '{') return 0;
        p = read_reading(p + 1, end, h, c, n + count);
        if (!p) return 0;
        *cell(c, C_INDEX, n + count) = count;
        count++;
        p = skip_space(p, end);
        if (!array) return p == end ? count : 0;
        if (p < end && *p == ']') return skip_space(p + 1, end) == end ? count : 0;
        if (p >= end || *p != ',') return 0;
        p = skip_space(p + 1, end);
    }
    return 0;
}

/* Reads messages that lie in data from begin to end each, into columns of so much room. Returns how many
 * readings they have together; counts tells it of each message, which has so many at most. */
int64_t streamgauge_read(struct headers *h, text data, const int64_t *begin, const int64_t *end, int64_t messages,
                         int64_t most, int64_t *counts, int64_t *columns, int64_t room) {
    const struct columns c = {columns, room};
    int64_t n = 0;
    begin_fresh(h);
    for (int64_t m = 0; m < messages; m++) {
        uint64_t before = h->used;
        int64_t left = room - n;
        counts[m] = read_message(data + begin[m], data + end[m], h, &c, n, left < most ? left : most);
        if (!counts[m]) take_back(h, before);
        n += counts[m];
    }
    return n;
}
