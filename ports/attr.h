/* Compiler attributes, behind names of our own, so that the rest of the code stays plain C11. */
#ifndef WEIR_PORTS_ATTR_H
#define WEIR_PORTS_ATTR_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

/* The struct that holds `member`, from a pointer to the member: for lists, timers, jobs. */
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
