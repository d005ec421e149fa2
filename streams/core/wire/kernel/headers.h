/* What names a reading, and what it stands for: a hash table of records in one block of memory, which only
 * grows until all is forgotten. Keys are compared byte by byte. Who sends keys that collide has his messages
 * declined after MAX_PROBES. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef const uint8_t *text;

enum { HEADER_FIELDS = 5, MAX_PROBES = 64, FIRST_SLOTS = 1024 };

static const int64_t UNKNOWN = -1, FIRST_FRESH = -2;

struct record {
    uint64_t hash;
    int64_t packed; /* series and producer; FIRST_FRESH - n for the n-th that Python has yet to read */
    uint64_t key_bytes;
};

struct headers {
    uint64_t seed;
    uint8_t *records; /* each followed by its key, padded with zeros to words of 16 bytes */
    uint64_t used, room;
    uint64_t *slots; /* 32 bits of hash, and 32 of where the record is, in units of 8 bytes, plus 1 */
    uint64_t slot_count, count;
    uint64_t fresh_from, fresh_count;
};

static uint64_t word_at(text p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static uint64_t padded(uint64_t bytes) { return (bytes + 15) & ~(uint64_t)15; }

static uint64_t mixed(uint64_t a, uint64_t b) {
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(text key, uint64_t bytes, uint64_t seed) {
    uint64_t hash = seed ^ bytes;
    for (uint64_t at = 0; at < bytes; at += 16)
        hash = mixed(word_at(key + at) ^ seed, word_at(key + at + 8) ^ hash);
    return mixed(hash, 0x9e3779b97f4a7c15u);
}

static struct record record_at(const struct headers *h, uint64_t at) {
    struct record record;
    memcpy(&record, h->records + at, sizeof record);
    return record;
}

static uint64_t next_record(const struct headers *h, uint64_t at) {
    return at + sizeof(struct record) + padded(record_at(h, at).key_bytes);
}

static uint64_t slot_content(uint64_t hash, uint64_t at) { return hash >> 32 << 32 | (at / 8 + 1); }

/* Returns the first slot from the hash's own on that has this content, or MAX_PROBES steps further. */
static uint64_t slot_of(const struct headers *h, uint64_t hash, uint64_t content) {
    uint64_t slot = hash & (h->slot_count - 1);
    for (int probe = 0; probe < MAX_PROBES && h->slots[slot] != content; probe++)
        slot = (slot + 1) & (h->slot_count - 1);
    return slot;
}

void streamgauge_forget(struct headers *h) {
    free(h->records);
    free(h->slots);
    *h = (struct headers){.seed = h->seed};
}

struct headers *streamgauge_new(uint64_t seed) {
    struct headers *h = calloc(1, sizeof *h);
    if (h) h->seed = seed;
    return h;
}

void streamgauge_free(struct headers *h) {
    streamgauge_forget(h);
    free(h);
}

uint64_t streamgauge_bytes(const struct headers *h) { return h->room + 8 * h->slot_count; }

/* Returns the headers that Python has yet to read: records, end to end. */
text streamgauge_fresh(const struct headers *h, uint64_t *bytes) {
    *bytes = h->used - h->fresh_from;
    return h->records + h->fresh_from;
}

/* Takes what they turned out to be, in their order. */
void streamgauge_learn(struct headers *h, const int64_t *packed) {
    for (uint64_t at = h->fresh_from; at < h->used; at = next_record(h, at))
        memcpy(h->records + at + offsetof(struct record, packed), packed++, sizeof *packed);
    h->fresh_from = h->used;
    h->fresh_count = 0;
}

static void begin_fresh(struct headers *h) {
    if (h->fresh_count) streamgauge_forget(h); /* nobody said what the last ones were */
    h->fresh_from = h->used;
}

static int grow_slots(struct headers *h) {
    uint64_t count = h->slot_count ? 2 * h->slot_count : FIRST_SLOTS;
    uint64_t *slots = calloc(count, sizeof *slots);
    if (!slots) return 0;
    free(h->slots);
    h->slots = slots;
    h->slot_count = count;
    for (uint64_t at = 0; at < h->used; at = next_record(h, at)) {
        uint64_t hash = record_at(h, at).hash, slot = slot_of(h, hash, 0);
        if (!slots[slot]) slots[slot] = slot_content(hash, at); /* else it is not found, and read again */
    }
    return 1;
}

static int make_room(struct headers *h, uint64_t bytes) {
    if (h->room - h->used >= bytes) return 1;
    uint64_t room = 2 * h->room + bytes;
    uint8_t *records = room / 8 < UINT32_MAX ? realloc(h->records, room) : NULL;
    if (!records) return 0;
    h->records = records;
    h->room = room;
    return 1;
}

/* Forgets the fresh headers from a record on: those of a message that is declined. */
static void take_back(struct headers *h, uint64_t from) {
    for (uint64_t at = from; at < h->used; at = next_record(h, at)) {
        uint64_t hash = record_at(h, at).hash, content = slot_content(hash, at), slot = slot_of(h, hash, content);
        if (h->slots[slot] == content) h->slots[slot] = 0;
        h->count--;
        h->fresh_count--;
    }
    h->used = from;
}

struct span {
    text begin;
    uint64_t bytes;
};

/* Copies words of 16 bytes, so up to 15 bytes more than asked for. */
static uint8_t *append(uint8_t *to, const struct span *span) {
    for (uint64_t at = 0; at < span->bytes; at += 16) memcpy(to + at, span->begin + at, 16);
    return to + span->bytes;
}

/* Compares keys by words, which are zero behind their ends. */
static int same_key(text a, text b, uint64_t bytes) {
    uint64_t differing = 0;
    for (uint64_t at = 0; at < bytes; at += 8) differing |= word_at(a + at) ^ word_at(b + at);
    return !differing;
}

/* Returns what stands for a header, as the JSON array that Python will read if it is new. */
static int64_t look_up(struct headers *h, const struct span *field) {
    static const struct record nothing;
    uint64_t bytes = 1 + HEADER_FIELDS;
    for (int i = 0; i < HEADER_FIELDS; i++) bytes += field[i].bytes;
    if (2 * h->count >= h->slot_count && !grow_slots(h)) return UNKNOWN;
    if (!make_room(h, sizeof(struct record) + padded(bytes) + 16)) return UNKNOWN;
    uint8_t *key = h->records + h->used + sizeof(struct record), *p = key;
    for (int i = 0; i < HEADER_FIELDS; i++) {
        *p++ = i ? ',' : '[';
        p = append(p, &field[i]);
    }
    *p++ = ']';
    memset(p, 0, 16);
    uint64_t hash = hash_of(key, bytes, h->seed), slot = hash & (h->slot_count - 1);
    for (int probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) & (h->slot_count - 1)) {
        uint64_t content = h->slots[slot];
        if (!content) {
            struct record record = nothing;
            record.hash = hash;
            record.packed = FIRST_FRESH - (int64_t)h->fresh_count++;
            record.key_bytes = bytes;
            memcpy(h->records + h->used, &record, sizeof record);
            h->slots[slot] = slot_content(hash, h->used);
            h->used = next_record(h, h->used);
            h->count++;
            return record.packed;
        }
        if (content >> 32 != hash >> 32) continue;
        uint64_t at = ((content & UINT32_MAX) - 1) * 8;
        struct record record = record_at(h, at);
        if (record.hash == hash && record.key_bytes == bytes && same_key(h->records + at + sizeof record, key, bytes))
            return record.packed;
    }
    return UNKNOWN;
}
