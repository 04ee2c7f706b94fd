/* RV32 in machine mode: start, semihosting by its three instructions, and the counter of retired instructions. */
#include <stdint.h>

static int semihost(int operation, const void *block)
{
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = block;
    __asm__ volatile(".option push\n .option norvc\n .balign 16\n"
                     "slli zero, zero, 0x1f\n ebreak\n srai zero, zero, 7\n .option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

static inline __attribute__((always_inline)) char *stack_pointer(void)
{
    char *sp;
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    return sp;
}

#include "bare.h"

__attribute__((aligned(4))) void trap(void)
{
    fault();
}

void enter(void)
{
    start_program();
}

__attribute__((section(".start"), naked, used)) void reset(void)
{
    __asm__ volatile(".option push\n .option norelax\n .option arch, +zicsr\n la gp, __global_pointer$\n"
                     "la sp, stack_top\n la t0, trap\n csrw mtvec, t0\n .option pop\n j enter");
}

static uint32_t started_at;

static inline uint32_t retired(void)
{
    uint32_t count;
    __asm__ volatile(".option push\n .option arch, +zicsr\n csrr %0, minstret\n .option pop" : "=r"(count));
    return count;
}

void board_start_count(void)
{
    started_at = retired();
}

uint32_t board_count(void)
{
    return retired() - started_at;
}

__attribute__((naked, noinline)) void board_loop(uint32_t num_rounds __attribute__((unused)))
{
    __asm__ volatile("1: addi a0, a0, -1\n bnez a0, 1b\n ret");
}
