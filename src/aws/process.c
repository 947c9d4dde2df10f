/*
 * process.c
 *		A program run without a shell, and what it prints. See process.h.
 */
#include "aws/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/http.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

/* Read at once; the first reading needs no more than this for any credentials. */
#define CHUNK 4096

/* Looking again whether the program has exited: at first after a millisecond, then ever later. */
#define MAX_PAUSE_MS 50

/* How long a program that was killed may take to be gone, and how often that is looked at. */
#define DEATH_MS 1000

/* The pipe's two ends, and one that the wait takes, which has no good word for want of it. */
#define DESCRIPTORS 3

/* Programs that were killed and were not gone in time, as one that hangs in the kernel. */
#define MAX_ABANDONED 16

typedef struct Process
{
	const char *name;
	pid_t pid; /* 0 for none, or one that is reaped */
	int read_fd;
	int write_fd;
	int reserved; /* descriptors */
	int64 due;
	ByteBuffer *output;
} Process;

static uint32 wait_event = 0;
static pid_t abandoned[MAX_ABANDONED];

/* A zombie is somebody's who was not in time for it. */
static void
reap_abandoned(void)
{
	for (int i = 0; i < MAX_ABANDONED; i++)
	{
		if (abandoned[i] != 0 && waitpid(abandoned[i], NULL, WNOHANG) != 0)
			abandoned[i] = 0;
	}
}

static void
abandon(pid_t pid)
{
	for (int i = 0; i < MAX_ABANDONED; i++)
	{
		if (abandoned[i] == 0)
		{
			abandoned[i] = pid;
			return;
		}
	}
}

static void
close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
release_descriptors(Process *process)
{
	close_end(&process->read_fd);
	close_end(&process->write_fd);
	while (process->reserved > 0)
	{
		ReleaseExternalFD();
		process->reserved--;
	}
}

/* Ends the program, if it runs, and frees what is left of it. Never throws: it runs when all is lost. */
static void
clean_up(int code, Datum argument)
{
	Process *process = (Process *) DatumGetPointer(argument);

	(void) code;
	if (process->pid != 0)
	{
		int64 due = http_now() + DEATH_MS * 1000;

		/*
		 * The group before it is reaped: until then nobody else can have its number. No latch: this must
		 * not be interrupted, and a program that is killed is gone in no time.
		 */
		kill(-process->pid, SIGKILL);
		while (waitpid(process->pid, NULL, WNOHANG) == 0)
		{
			if (http_now() > due)
			{
				abandon(process->pid);
				break;
			}
			pg_usleep(500);
		}
		process->pid = 0;
	}
	release_descriptors(process);
	buffer_free(process->output);
}

static void
open_pipe(Process *process)
{
	int ends[2];

	do
	{
		while (process->reserved < DESCRIPTORS && AcquireExternalFD())
			process->reserved++;
	} while (process->reserved < DESCRIPTORS && http_spare_descriptors());
	if (process->reserved < DESCRIPTORS || pipe2(ends, O_CLOEXEC) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no file descriptor is left for a program"),
				 errdetail_log("%s", process->name), errhint("Raise max_files_per_process.")));
	process->read_fd = ends[0];
	process->write_fd = ends[1];
	/* The reader's end alone: programs do not expect that printing can fail for the moment. */
	if (fcntl(process->read_fd, F_SETFL, O_NONBLOCK) != 0)
		elog(ERROR, "could not make a pipe non-blocking: %m");
}

/*
 * PostgreSQL opens its files and sockets without close-on-exec before version 16, so the program would
 * keep the client's connection, among others. Closed in the program: the backend's are as they were.
 */
static int
close_others(posix_spawn_file_actions_t *actions)
{
	DIR *directory = AllocateDir("/proc/self/fd");
	struct dirent *entry;
	int error = 0;

	while (error == 0 && (entry = ReadDirExtended(directory, "/proc/self/fd", DEBUG1)) != NULL)
	{
		int fd = atoi(entry->d_name); /* 0 for "." and ".." */

		if (fd > STDERR_FILENO)
			error = posix_spawn_file_actions_addclose(actions, fd);
	}
	if (directory != NULL)
		FreeDir(directory);
	return error;
}

static int
spawn(Process *process, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	sigset_t all;
	pid_t pid;
	int error;

	sigemptyset(&none);
	sigfillset(&all);

	if ((error = posix_spawn_file_actions_init(&actions)) != 0)
		return error;
	if ((error = posix_spawnattr_init(&attributes)) != 0)
	{
		posix_spawn_file_actions_destroy(&actions);
		return error;
	}
	/* A backend ignores SIGPIPE, which a program would inherit; as it would a blocked signal. */
	if ((error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
												  0)) == 0 &&
		(error = posix_spawn_file_actions_adddup2(&actions, process->write_fd, STDOUT_FILENO)) ==
			0 &&
		(error = close_others(&actions)) == 0 &&
		(error =
			 posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
													   POSIX_SPAWN_SETSIGDEF)) == 0 &&
		(error = posix_spawnattr_setpgroup(&attributes, 0)) == 0 &&
		(error = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
		(error = posix_spawnattr_setsigdefault(&attributes, &all)) == 0 &&
		(error = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ)) == 0)
		process->pid = pid;
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static void
start(Process *process, char *const argv[])
{
	int error;

	open_pipe(process);
	error = spawn(process, argv);
	if (error != 0)
	{
		bool resources = error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;

		errno = error;
		ereport(ERROR,
				(errcode(resources ? ERRCODE_INSUFFICIENT_RESOURCES
								   : ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the program cannot be started: %m"), errdetail_log("%s", process->name)));
	}
	close_end(&process->write_fd);
	/* The wait takes a descriptor itself, and counts it. */
	while (process->reserved > 1)
	{
		ReleaseExternalFD();
		process->reserved--;
	}
}

/* Waits until there is something to read, if `readable`, or for so long, or until the time is up. */
static void
wait_for(const Process *process, bool readable, int64 pause_ms)
{
	int64 left = process->due - http_now();
	int events = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;
	int64 timeout;

	CHECK_FOR_INTERRUPTS();
	if (left <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the program took too long"),
				 readable ? errdetail("It did not close its standard output in time.")
						  : errdetail("It closed its standard output, but did not exit in time."),
				 errdetail_log("%s", process->name)));
	timeout = Min((left + 999) / 1000, INT_MAX);
	if (pause_ms >= 0)
		timeout = Min(timeout, pause_ms);
	if (readable)
		events |= WL_SOCKET_READABLE;
	if (WaitLatchOrSocket(MyLatch, events, readable ? process->read_fd : PGINVALID_SOCKET,
						  (long) timeout, wait_event) &
		WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
read_output(Process *process, size_t max_bytes)
{
	ByteBuffer *output = process->output;

	for (;;)
	{
		/* One more than may be, to see that there is more. No copy on the stack: it may be a secret. */
		size_t room = Min(max_bytes - output->length, CHUNK - 1) + 1;
		ssize_t count;

		if (!buffer_reserve(output, room))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		count = read(process->read_fd, output->data + output->length, room);
		if (count == 0)
			break;
		if (count > 0)
		{
			output->length += count;
			if (output->length > max_bytes)
				ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
								errmsg("the program printed more than %zu bytes", max_bytes),
								errdetail_log("%s", process->name)));
			/* It may print faster than this reads. */
			CHECK_FOR_INTERRUPTS();
		}
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			wait_for(process, true, -1);
		else if (errno != EINTR)
			elog(ERROR, "could not read from a pipe: %m");
	}
	output->data[output->length] = '\0';
}

/* Nothing tells of an exit but SIGCHLD, which is the server's: this looks again and again. */
static int
await_exit(Process *process)
{
	int status;
	pid_t ended;

	for (int pause = 1; (ended = waitpid(process->pid, &status, WNOHANG)) == 0;
		 pause = Min(2 * pause, MAX_PAUSE_MS))
		wait_for(process, false, pause);
	process->pid = 0;
	if (ended < 0)
		elog(ERROR, "could not learn how a program ended: %m");
	return status;
}

static void
check_status(const Process *process, int status)
{
	if (WIFSIGNALED(status))
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("the program was ended by signal %d: %s", WTERMSIG(status),
							   pg_strsignal(WTERMSIG(status))),
						errdetail_log("%s", process->name)));
	if (WEXITSTATUS(status) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						errmsg("the program exited with status %d", WEXITSTATUS(status)),
						errdetail_log("%s", process->name),
						errhint("What it wrote to its standard error is in the server's log.")));
}

void
process_run(char *const argv[], int timeout_ms, size_t max_bytes, ByteBuffer *output)
{
	/* Not on the stack: what is changed there after sigsetjmp may be lost to the cleaning up. */
	Process *process = palloc0(sizeof(Process));
	Datum argument = PointerGetDatum(process);

	Assert(timeout_ms > 0 && argv[0] != NULL);
	if (wait_event == 0)
		wait_event = named_wait_event("AthenaCalcProcess");
	reap_abandoned();
	process->name = argv[0];
	process->read_fd = process->write_fd = -1;
	process->output = output;
	process->due = http_now() + (int64) timeout_ms * 1000;

	/* Not PG_TRY: the end of the backend must end the program, too. */
	PG_ENSURE_ERROR_CLEANUP(clean_up, argument);
	{
		start(process, argv);
		read_output(process, max_bytes);
		check_status(process, await_exit(process));
	}
	PG_END_ENSURE_ERROR_CLEANUP(clean_up, argument);
	release_descriptors(process);
	pfree(process);
}
