/* Shared by the boards without an operating system; each defines semihost() and stack_pointer() before it. */
#include "board.h"

extern char data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_low[], stack_top[];
int main(void);

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT_EXTENDED = 0x20, STOPPED_EXIT = 0x20026 };
enum { READ_BINARY = 1, WRITE_BINARY = 5 }; /* modes of SYS_OPEN */
#define PAINT 0xA5C3A5C3u

static char *mark;

static void start_program(void)
{
    char *to, *from = data_load;
    for (to = data_start; to < data_end; to++)
        *to = *from++;
    for (to = bss_start; to < bss_end; to++)
        *to = 0;
    board_exit(main());
}

static void fault(void)
{
    board_exit(FAULT);
}

void board_exit(int code)
{
    uint32_t block[2];
    block[0] = STOPPED_EXIT;
    block[1] = (uint32_t)code;
    for (;;)
        semihost(SYS_EXIT_EXTENDED, block);
}

int board_open(const char *path, int writes)
{
    uint32_t block[3];
    uint32_t length = 0;
    while (path[length])
        length++;
    block[0] = (uint32_t)path;
    block[1] = writes ? WRITE_BINARY : READ_BINARY;
    block[2] = length;
    return semihost(SYS_OPEN, block);
}

static int transfer(int operation, int handle, const void *data, unsigned num_bytes)
{
    uint32_t block[3];
    block[0] = (uint32_t)handle;
    block[1] = (uint32_t)data;
    block[2] = num_bytes;
    return semihost(operation, block) == 0; /* bytes that are left */
}

int board_read(int handle, void *data, unsigned num_bytes)
{
    return transfer(SYS_READ, handle, data, num_bytes);
}

int board_write(int handle, const void *data, unsigned num_bytes)
{
    return transfer(SYS_WRITE, handle, data, num_bytes);
}

void board_paint_stack(void)
{
    volatile uint32_t *word = (uint32_t *)stack_low;
    while ((char *)word < stack_pointer() - 64)
        *word++ = PAINT;
}

void board_mark_stack(void)
{
    mark = stack_pointer();
}

uint32_t board_stack_depth(void)
{
    const volatile uint32_t *word = (uint32_t *)stack_low;
    if (*word != PAINT)
        board_exit(STACK_OVERFLOW);
    while (*word == PAINT)
        word++;
    /* Up to the alignment of stacks: the last word of a frame may never be written. */
    return (uint32_t)(mark - (char *)word + 15) & ~15u;
}
