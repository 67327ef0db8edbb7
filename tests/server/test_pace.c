/*
 * test_pace.c - bodies that trickle.
 */
#include "server/pace.h"
#include "support/check_main.h"

enum { STRETCH_S = 60 };

/* Bytes come every second at this rate; the second at which that is too slow, 0: not within an hour. */
static uint64_t refused(srv_pace *pace, size_t *received, uint64_t from_s, size_t bytes_per_s)
{
    for (uint64_t s = from_s; s < from_s + 3600; s++) {
        *received += bytes_per_s;
        if (srv_pace_too_slow(pace, *received, s, STRETCH_S))
            return s;
    }
    return 0;
}

START_TEST(slow_from_the_start)
{
    srv_pace pace = {0};
    size_t received = 0;
    ck_assert_uint_eq(refused(&pace, &received, 1, 1000), STRETCH_S + 1);
}
END_TEST

START_TEST(quick_enough_goes_on)
{
    srv_pace pace = {0};
    size_t received = 0;
    ck_assert_uint_eq(refused(&pace, &received, 1, SRV_PACE_BYTES_PER_S), 0);
}
END_TEST

/* A gigabyte at once does not pay for a trickle. */
START_TEST(a_quick_start_is_no_credit)
{
    srv_pace pace = {0};
    size_t received = (size_t)1 << 30;
    ck_assert(!srv_pace_too_slow(&pace, received, 1, STRETCH_S));
    uint64_t at = refused(&pace, &received, 2, 1);
    ck_assert_uint_gt(at, STRETCH_S);
    ck_assert_uint_le(at, 2 * STRETCH_S + 2);
}
END_TEST

static Suite *make(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");
    tcase_add_test(tests, slow_from_the_start);
    tcase_add_test(tests, quick_enough_goes_on);
    tcase_add_test(tests, a_quick_start_is_no_credit);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(int argc, char **argv)
{
    return hop_check_main(argc, argv, make);
}
