/*
 * process.h
 *		A program run without a shell, and what it prints.
 *
 * It runs as the server's user, in the data directory, with the server's environment, and with none of
 * the backend's files and connections. Its standard input is empty; its standard error is the server's,
 * which is the log. It has a process group of its own: whatever ends the wait early (an error, a cancel,
 * the end of the backend or of the postmaster) ends the program and all in its group, by SIGKILL. Only
 * a backend that is itself killed (by SIGKILL, or SIGQUIT) cannot do so.
 */
#ifndef ATHENA_CALC_AWS_PROCESS_H
#define ATHENA_CALC_AWS_PROCESS_H

#include "compat.h"

#include "http/buffer.h"

/*
 * Runs argv[0], looked up in PATH unless it has a slash in it, with these arguments (argv ends with
 * NULL), until it has closed its standard output and exited with status 0. What it printed, max_bytes at
 * most, is in `output`, which must be empty or reset; the caller frees it, which wipes it.
 *
 * Throws 28000 where the program cannot be started, exits with another status, is killed by a signal,
 * is not done after `timeout_ms` milliseconds or prints more; 53000 where there is no descriptor or
 * process for it, 53200 where there is no memory; and what CHECK_FOR_INTERRUPTS throws. By then the
 * program was ended, and `output` wiped and freed. What was printed, and the arguments, are in no message
 * and no log; the program's name is in the log alone.
 */
extern void process_run(char *const argv[], int timeout_ms, size_t max_bytes, ByteBuffer *output);

#endif
