/* Included before every source file of ours (CMake: -include): turns functions that have no place
 * here into compile errors. Time and chance come from ports/; strings have bounds. A file that
 * wraps such a function for all others says so: #undef, with the reason. */
#ifndef WEIR_PORTS_BANNED_H
#define WEIR_PORTS_BANNED_H

/* The headers first, so that their declarations survive. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BANNED(function) sorry_##function##_is_banned

#undef strcpy
#define strcpy(to, from) BANNED(strcpy)
#undef strcat
#define strcat(to, from) BANNED(strcat)
#undef strncpy
#define strncpy(to, from, size) BANNED(strncpy)
#undef strncat
#define strncat(to, from, size) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(to, format, arguments) BANNED(vsprintf)
#undef strtok
#define strtok(text, separators) BANNED(strtok)
#undef atoi
#define atoi(text) BANNED(atoi)
#undef atol
#define atol(text) BANNED(atol)
#undef atof
#define atof(text) BANNED(atof)
#undef gmtime
#define gmtime(time) BANNED(gmtime)
#undef localtime
#define localtime(time) BANNED(localtime)
#undef ctime
#define ctime(time) BANNED(ctime)
#undef asctime
#define asctime(time) BANNED(asctime)
#undef rand
#define rand() BANNED(rand)
#undef srand
#define srand(seed) BANNED(srand)
#undef random
#define random() BANNED(random)
#undef time
#define time(ret) BANNED(time)
#undef sleep
#define sleep(seconds) BANNED(sleep)
#undef usleep
#define usleep(microseconds) BANNED(usleep)
#undef clock_gettime
#define clock_gettime(clock, ret) BANNED(clock_gettime)

#endif
