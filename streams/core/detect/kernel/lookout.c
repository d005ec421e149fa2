/* Judges readings of many series: what signals.py, deviation.py, range_novelty.py, tail.py, likelihood.py and
 * episodes.py do in NumPy, bit for bit, on the same arrays. Each function here says whose it is.
 *
 * Operations are those of NumPy, in the same order; none may be fused or reassociated. There is no NaN
 * and no negative zero where two numbers are compared, so it does not matter which of two equal ones is
 * taken. Loops over signals have a fixed length, so that compilers make vectors of them. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "doubles have to be exact; without this kernel everything works as well"
#endif

enum { SPANS = 4, SIGNALS = 2 * SPANS, SLOTS = 96, SLOT_READINGS = 30, OVERALL_READINGS = 2000, SETTLED = 16 };
enum { HORIZON = 6400, BINS = 24, MOST = 8192, EVERY = 16, MANTISSA_BITS = 22, REFRACTORY = 60 };

static const int64_t DAY_US = 86400000000;
static const double FARTHEST = 3.0, LARGEST_VALUE = 1e100, LARGEST = 1e6, LEAST_BAND = 1e-14, NO_BAND = 1e-200;
static const double SHRINKS = 1.0 / 20000, EXPLAINED = 0.5, NOTICE = 1.25;
static const double WEIGHTS[SPANS] = {2.0 / (1 + 1.0), 2.0 / (4 + 1.0), 2.0 / (16 + 1.0), 2.0 / (64 + 1.0)};
static const float LOWEST_DEVIATION = 0x1p-5f, LOWEST_NOVELTY = 0x1p-9f;

const uint32_t streamgauge_source = SOURCE_CHECKSUM; /* a checksum, so that no library is used with other code */

typedef double signals[SIGNALS];

/* --- What is remembered: an entry a series of each array, in the order of lookout_kernel.py ----------- */

struct tail {
    uint16_t (*counts)[SIGNALS][BINS], (*at_least)[SIGNALS][BINS + 1];
    int64_t *seen, *last_us;
};

struct memory {
    int64_t *last_us;
    struct {
        int64_t *count;
        double *low, *high, (*smooth)[SIGNALS], *mean, (*slot_mean)[SLOTS];
        uint8_t (*slot_count)[SLOTS];
    } signals;
    struct {
        signals *mean, *variance;
        int64_t *count;
        struct tail tail;
    } deviation;
    struct {
        signals *low, *high;
        int64_t *count;
        struct tail tail;
    } novelty;
    struct {
        int32_t *quiet;
        int64_t *series, *start_us, *peak_us, *end_us;
        double *peak;
        int16_t *reason;
        int8_t *direction;
    } episodes;
    const double *log10_after; /* of n: the decimal logarithm of n + 1; for each uint16 */
};

/* Readings of some series, those of one series side by side and in order of time. */
struct readings {
    const int64_t *row, *series, *begin; /* an entry a series; begin has one more */
    const int64_t *at;                   /* where in the arrays below each reading is */
    const int64_t *time_us;
    const double *value;
};

struct findings {
    double *surprise;
    int16_t *reason;
    double *statistic, *observed, *expected, *band;
    uint8_t *began;
};

struct episode {
    int64_t series, start_us, peak_us, end_us;
    double peak;
    int64_t reason, direction;
};

struct measured {
    signals statistic, expected, band;
};

static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }
static int64_t at_most(int64_t n, int64_t most) { return n < most ? n : most; }

/* --- signals.py --------------------------------------------------------------------------------------- */

static double within_reach(const struct memory *m, int64_t row, int64_t count, double value) {
    double low = m->signals.low[row], high = m->signals.high[row];
    double reach = (high > low ? high - low : fabs(high)) * FARTHEST;
    if (count < SETTLED || reach == 0.0) reach = INFINITY;
    value = larger(value + 0.0, larger(low - reach, -LARGEST_VALUE));
    value = smaller(value, smaller(high + reach, LARGEST_VALUE));
    m->signals.low[row] = count ? smaller(low, value) : value;
    m->signals.high[row] = count ? larger(high, value) : value;
    return value;
}

static double usual_at(const struct memory *m, int64_t row, int64_t time_us, double value, int64_t count) {
    int64_t of_day = time_us % DAY_US;
    int64_t slot = (of_day < 0 ? of_day + DAY_US : of_day) * SLOTS / DAY_US;
    double *slot_mean = &m->signals.slot_mean[row][slot], *overall = &m->signals.mean[row];
    uint8_t *slot_count = &m->signals.slot_count[row][slot];
    double mean = count ? *overall : value, usual = *slot_count ? *slot_mean : mean;
    *slot_count = (uint8_t)at_most((uint8_t)(*slot_count + 1), SLOT_READINGS);
    *slot_mean += (value - *slot_mean) / *slot_count;
    *overall = mean + (value - mean) / (double)at_most(count + 1, OVERALL_READINGS);
    return usual;
}

/* Returns the smoothed signals, which are what is remembered of them. */
static const double *signals_of(const struct memory *m, int64_t row, int64_t time_us, double value) {
    int64_t count = m->signals.count[row]++;
    value = within_reach(m, row, count, value);
    double residual = value - usual_at(m, row, time_us, value, count);
    if (fabs(residual) < LEAST_BAND * fabs(value)) residual = 0.0;
    double *smooth = m->signals.smooth[row], mean_weight = 1.0 / ((double)count + 1.0);
    for (int span = 0; span < SPANS; span++) {
        double weight = larger(WEIGHTS[span], mean_weight);
        smooth[span] += weight * (value - smooth[span]);
        smooth[SPANS + span] += weight * (residual - smooth[SPANS + span]);
    }
    smooth[0] = value;
    smooth[SPANS] = residual;
    return smooth;
}

/* --- deviation.py ------------------------------------------------------------------------------------- */

static void deviations(const struct memory *m, int64_t row, const double *signal, struct measured *found) {
    int64_t count = m->deviation.count[row]++;
    double *mean = m->deviation.mean[row], *variance = m->deviation.variance[row];
    double weight = 1.0 / (double)at_most(count + 1, HORIZON);
    for (int i = 0; i < SIGNALS; i++) {
        double away = signal[i] - mean[i], band = sqrt(variance[i]);
        double statistic = away / larger(band, LEAST_BAND * fabs(mean[i]) + NO_BAND);
        found->statistic[i] = count < 2 ? 0.0 : smaller(larger(statistic, -LARGEST), LARGEST);
        found->expected[i] = mean[i];
        found->band[i] = band;
        double step = weight * away;
        mean[i] += step;
        variance[i] = (1.0 - weight) * (variance[i] + step * away);
    }
}

/* --- range_novelty.py --------------------------------------------------------------------------------- */

static void novelties(const struct memory *m, int64_t row, const double *signal, struct measured *found) {
    double *low = m->novelty.low[row], *high = m->novelty.high[row];
    if (!m->novelty.count[row]++) {
        memcpy(low, signal, sizeof(signals));
        memcpy(high, signal, sizeof(signals));
    }
    for (int i = 0; i < SIGNALS; i++) {
        double width = high[i] - low[i], shrink = SHRINKS * width;
        double over = larger(signal[i] - high[i], 0.0) + smaller(signal[i] - low[i], 0.0);
        double statistic = over / larger(width, LEAST_BAND * fabs(low[i]) + NO_BAND);
        found->statistic[i] = smaller(larger(statistic, -LARGEST), LARGEST);
        found->expected[i] = (low[i] + high[i]) / 2;
        found->band[i] = width / 2;
        low[i] = smaller(low[i] + shrink, signal[i]);
        high[i] = larger(high[i] - shrink, signal[i]);
    }
}

/* --- tail.py ------------------------------------------------------------------------------------------ */

static int32_t bits_of(float number) {
    int32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* Sums the counts of a series up. */
static void count_up(uint16_t (*counts)[BINS], uint16_t (*at_least)[BINS + 1]) {
    uint64_t of_first = 0;
    for (int i = 0; i < SIGNALS; i++) {
        uint16_t counted = 0;
        for (int bin = 0; bin < BINS; bin++) counted = (uint16_t)(counted + counts[i][bin]);
        counts[i][0] = (uint16_t)(counts[i][0] + at_least[i][0] + EVERY - counted);
    }
    for (int bin = 0; bin < BINS; bin++) of_first += counts[0][bin];
    for (int i = 0; i < SIGNALS; i++) {
        uint16_t sum = 0;
        for (int bin = BINS - 1; bin >= 0; bin--) {
            if (of_first > MOST) counts[i][bin] /= 2;
            at_least[i][bin] = sum = (uint16_t)(sum + counts[i][bin]);
        }
    }
}

/* Adds how surprising each statistic is. */
static void surprises(const struct memory *m, const struct tail *tail, int64_t row, int64_t time_us,
                      const double *statistic, float lowest, double *unusual) {
    uint16_t(*counts)[BINS] = tail->counts[row], (*at_least)[BINS + 1] = tail->at_least[row];
    const double *log10_after = m->log10_after;
    int32_t bits[SIGNALS], floor = bits_of(lowest);
    for (int i = 0; i < SIGNALS; i++) {
        int32_t above = bits_of((float)fabs(statistic[i])) - floor, most = (BINS << MANTISSA_BITS) - 1;
        bits[i] = above < 0 ? 0 : above > most ? most : above;
    }
    for (int i = 0; i < SIGNALS; i++) {
        unusual[i] = 0.0;
        if (!bits[i]) continue;
        int32_t bin = bits[i] >> MANTISSA_BITS;
        double share = (bits[i] & ((1 << MANTISSA_BITS) - 1)) * 0x1p-22;
        double upper = log10_after[at_least[i][bin]], lower = log10_after[at_least[i][bin + 1]];
        unusual[i] = log10_after[at_least[i][0]] - upper + share * (upper - lower);
        counts[i][bin]++;
    }
    tail->last_us[row] = time_us;
    if (++tail->seen[row] % EVERY == 0) count_up(counts, at_least);
}

/* --- likelihood.py ------------------------------------------------------------------------------------ */

static double judge(const struct memory *m, int64_t row, int64_t time_us, double value, const struct findings *f,
                    int64_t at) {
    struct measured found[2];
    double unusual[2 * SIGNALS], sums[SIGNALS];
    const double *signal = signals_of(m, row, time_us, value);
    deviations(m, row, signal, &found[0]);
    novelties(m, row, signal, &found[1]);
    surprises(m, &m->deviation.tail, row, time_us, found[0].statistic, LOWEST_DEVIATION, unusual);
    surprises(m, &m->novelty.tail, row, time_us, found[1].statistic, LOWEST_NOVELTY, unusual + SIGNALS);
    for (int i = 0; i < SIGNALS; i++) sums[i] = unusual[i] + unusual[SIGNALS + i];
    double sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    double surprise = f->surprise[at] = sum / (2 * SIGNALS);
    if (surprise >= EXPLAINED) {
        int most = 0;
        for (int i = 1; i < 2 * SIGNALS; i++)
            if (unusual[i] > unusual[most]) most = i;
        f->reason[at] = (int16_t)most;
        f->statistic[at] = found[most / SIGNALS].statistic[most % SIGNALS];
        f->observed[at] = signal[most % SIGNALS];
        f->expected[at] = found[most / SIGNALS].expected[most % SIGNALS];
        f->band[at] = found[most / SIGNALS].band[most % SIGNALS];
    }
    return surprise;
}

/* --- episodes.py -------------------------------------------------------------------------------------- */

/* Returns whether the episode of a series is over with this reading. */
static int follow(const struct memory *m, int64_t row, int64_t series, int64_t time_us, double surprise,
                  const struct findings *f, int64_t at) {
    int32_t quiet = m->episodes.quiet[row];
    if (surprise < NOTICE) {
        if (quiet >= REFRACTORY) return 0;
        return (m->episodes.quiet[row] = quiet + 1) >= REFRACTORY;
    }
    if (quiet >= REFRACTORY) {
        f->began[at] = 1;
        m->episodes.series[row] = series;
        m->episodes.start_us[row] = time_us;
        m->episodes.peak[row] = 0.0;
    }
    m->episodes.quiet[row] = 0;
    m->episodes.end_us[row] = time_us;
    if (surprise > m->episodes.peak[row]) {
        double statistic = f->statistic[at];
        m->episodes.peak[row] = surprise;
        m->episodes.peak_us[row] = time_us;
        m->episodes.reason[row] = f->reason[at];
        m->episodes.direction[row] = (int8_t)((statistic > 0) - (statistic < 0));
    }
    return 0;
}

static struct episode episode_of(const struct memory *m, int64_t row) {
    return (struct episode){m->episodes.series[row], m->episodes.start_us[row], m->episodes.peak_us[row],
                            m->episodes.end_us[row], m->episodes.peak[row],     m->episodes.reason[row],
                            m->episodes.direction[row]};
}

/* --- lookout.py --------------------------------------------------------------------------------------- */

/* Judges readings of so many series; returns how many episodes are over, which are put where there is
 * room for one in REFRACTORY readings, and one more of each series. */
int64_t streamgauge_judge(const struct memory *m, int64_t count, const struct readings *r, const struct findings *f,
                          struct episode *over) {
    int64_t ended = 0;
    for (int64_t of = 0; of < count; of++) {
        int64_t row = r->row[of];
        for (int64_t place = r->begin[of]; place < r->begin[of + 1]; place++) {
            int64_t at = r->at[place], time_us = r->time_us[at];
            if (time_us <= m->last_us[row]) continue;
            m->last_us[row] = time_us;
            double surprise = judge(m, row, time_us, r->value[at], f, at);
            if (follow(m, row, r->series[of], time_us, surprise, f, at)) over[ended++] = episode_of(m, row);
        }
    }
    return ended;
}
