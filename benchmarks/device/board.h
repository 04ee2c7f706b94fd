/* What a harness needs of a board: files of the host, a counter of instructions, and the stack. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Why a run ends early; benchmarks/device/emulation.py has a sentence for each. */
enum { FAULT = 2, REFUSED, STACK_OVERFLOW, BAD_FILE };

void board_exit(int code) __attribute__((noreturn));
int board_open(const char *path, int writes);               /* a handle, or below 0 */
int board_read(int handle, void *data, unsigned num_bytes); /* whether all of them came */
int board_write(int handle, const void *data, unsigned num_bytes);
void board_start_count(void);
uint32_t board_count(void);               /* ticks since then; UINT32_MAX: more than the counter holds */
void board_loop(uint32_t num_rounds);     /* two instructions a round, on boards that count */
void board_paint_stack(void);             /* below the caller */
void board_mark_stack(void);              /* from here on the depth is counted, down */
uint32_t board_stack_depth(void);         /* bytes below the mark that were used since it was painted */

#endif
