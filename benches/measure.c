/* Runs a program and says what it took.
 *
 *   measure FILE PROGRAM [ARGUMENT…]
 *
 * FILE gets one line: microseconds of wall clock, of CPU in user mode and in the kernel, and the most memory it had
 * resident, in KiB. The program's output is thrown away. The exit status is the program's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long microseconds(struct timeval time)
{
	return time.tv_sec * 1000000L + time.tv_usec;
}

int main(int arguments, char **argument)
{
	struct timespec before, after;
	struct rusage usage;
	int status;
	pid_t child;
	FILE *report;

	if (arguments < 3) {
		fprintf(stderr, "usage: measure FILE PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &before);
	child = vfork();
	if (child == 0) {
		int nowhere = open("/dev/null", O_WRONLY);

		dup2(nowhere, 1);
		execvp(argument[2], argument + 2);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
		perror(argument[2]);
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	report = fopen(argument[1], "w");
	if (!report) {
		perror(argument[1]);
		return 1;
	}
	fprintf(report, "%ld %ld %ld %ld\n",
		(after.tv_sec - before.tv_sec) * 1000000L + (after.tv_nsec - before.tv_nsec) / 1000,
		microseconds(usage.ru_utime), microseconds(usage.ru_stime), usage.ru_maxrss);
	fclose(report);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
