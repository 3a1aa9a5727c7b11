/* Wait for the one child that came with this process, and write down how it ended.
 *
 * The parent of a one-shot's program: virtsupd made the child, then turned into this. Standard output
 * is the file of the status. The child is left unreaped: it becomes virtsupd's own, if that still
 * runs, which so learns of the end as of any other. All signals are blocked by who started us.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    siginfo_t ended;
    char line[32];

    while (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) != 0)
        if (errno != EINTR)
            return 1;
    const char *way = ended.si_code == CLD_EXITED   ? "exited"
                      : ended.si_code == CLD_DUMPED ? "dumped"
                                                    : "killed";
    int length = snprintf(line, sizeof line, "%s %03d\n", way, ended.si_status);
    return pwrite(STDOUT_FILENO, line, (size_t)length, 0) != length;
}
