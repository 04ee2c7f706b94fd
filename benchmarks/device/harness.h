/* The main program of a harness: a record in, the ticks of policy_decide and what it decides out. The header before it
 * has the record, `moment`, how many results there are of it, and what is done before and after a decision, uncounted. */
#include "board.h"

enum { LOOP_ROUNDS = 10000 };

typedef struct {
    uint32_t ticks;
    int decision[NUM_RESULTS];
} result;

static moment one;
static result given;

static int empty_decide(const moment *read, int *decision)
{
    (void)read, (void)decision;
    return 0;
}

/* The same code calls the policy and the empty function, so that the difference is the policy's. */
static __attribute__((noinline, noclone)) uint32_t ticks_of(int (*decide)(const moment *, int *))
{
    int status;
    board_mark_stack();
    board_start_count();
    status = decide(&one, given.decision);
    given.ticks = board_count();
    if (status < 0)
        board_exit(REFUSED);
    return given.ticks;
}

int main(void)
{
    /* Ticks of an empty call, of the loop, and of nothing; then the stack. */
    uint32_t last[5];
    int records = board_open("records", 0), results = board_open("results", 1);
    if (records < 0 || results < 0)
        board_exit(BAD_FILE);
    last[0] = ticks_of(empty_decide);
    board_start_count();
    board_loop(LOOP_ROUNDS);
    last[1] = board_count();
    board_start_count();
    last[2] = board_count();
    last[3] = LOOP_ROUNDS;
    board_paint_stack();
    while (board_read(records, &one, sizeof one)) {
        BEFORE_DECISION
        ticks_of(policy_decide);
        AFTER_DECISION
        if (!board_write(results, &given, sizeof given))
            board_exit(BAD_FILE);
    }
    last[4] = board_stack_depth();
    if (!board_write(results, last, sizeof last))
        board_exit(BAD_FILE);
    return 0;
}
