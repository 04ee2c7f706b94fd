/* Cortex-M: vectors, semihosting by a breakpoint, and SysTick, which counts down from 2^24 - 1. */
#include <stdint.h>

static int semihost(int operation, const void *block)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline __attribute__((always_inline)) char *stack_pointer(void)
{
    char *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

#include "bare.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define COUNTFLAG (1u << 16)
#define LARGEST 0xFFFFFFu

void reset(void)
{
#ifdef __ARM_FP
    CPACR |= 0xFu << 20; /* the floating-point unit is off after reset */
    __asm__ volatile("dsb\n isb");
#endif
    SYST_RVR = LARGEST;
    SYST_CVR = 0;
    SYST_CSR = 5; /* on, by the clock of the processor, without interrupts */
    start_program();
}

/* The stack, the entry, and one handler for all faults. */
__attribute__((section(".start"), used)) void *const vectors[16] = {
    stack_top, reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault};

static uint32_t started_at;

void board_start_count(void)
{
    do { /* again where the counter began anew in between */
        (void)SYST_CSR; /* clears COUNTFLAG */
        started_at = SYST_CVR;
    } while ((SYST_CSR & COUNTFLAG) != 0);
}

uint32_t board_count(void)
{
    uint32_t now = SYST_CVR;
    int wrapped = (SYST_CSR & COUNTFLAG) != 0;
    if (wrapped && now <= started_at && now < 64) /* it began anew after it was read */
        wrapped = 0;
    if (wrapped && now <= started_at)
        return UINT32_MAX;
    return (started_at - now + (wrapped ? LARGEST + 1 : 0));
}

__attribute__((naked, noinline)) void board_loop(uint32_t num_rounds __attribute__((unused)))
{
    __asm__ volatile(".syntax unified\n 1: subs r0, #1\n bne 1b\n bx lr");
}
