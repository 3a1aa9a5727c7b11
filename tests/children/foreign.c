/* A program of another platform.
 *
 * foreign [WORD…]        prints the machine it believes to be on, how it was called and each word,
 *                        one a line, then what it reads; ends with 7
 * foreign ids            prints its machine, then whose it is: users and groups, real and effective
 * foreign run FILE [WORD…]  prints its machine and executes another program
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct utsname host;
    char text[4096];
    size_t size;

    uname(&host);
    puts(host.machine);
    if (count > 2 && strcmp(words[1], "run") == 0) {
        fflush(stdout);
        execv(words[2], words + 2);
        perror(words[2]);
        return 8;
    }
    if (count == 2 && strcmp(words[1], "ids") == 0) {
        printf("%d %d %d %d\n", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
        return 7;
    }
    for (int i = 0; i < count; i++)
        puts(words[i]);
    while ((size = fread(text, 1, sizeof text, stdin)) > 0)
        fwrite(text, 1, size, stdout);
    return 7;
}
