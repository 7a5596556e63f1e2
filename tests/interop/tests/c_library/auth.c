/* virConnectAuthPtrDefault: what can be asked, and what asking at the standard input and output gives. */
#include <stdlib.h>

#include "show.h"

static int ask(int type, const char *prompt, const char *challenge, const char *preset)
{
    virConnectCredential question = { .type = type, .prompt = prompt, .challenge = challenge, .defresult = preset };
    int result;

    fflush(stdout);
    result = virConnectAuthPtrDefault->cb(&question, 1, virConnectAuthPtrDefault->cbdata);
    printf("\n  type %d: %d, %s of %u\n", type, result, text(question.result), question.resultlen);
    free(question.result);
    return result;
}

int main(void)
{
    /* Not through a stream that would read ahead. */
    setvbuf(stdin, NULL, _IONBF, 0);
    printf("%u kinds, data %d\n", virConnectAuthPtrDefault->ncredtype, virConnectAuthPtrDefault->cbdata != NULL);
    for (unsigned int i = 0; i < virConnectAuthPtrDefault->ncredtype; i++)
        printf("  %d\n", virConnectAuthPtrDefault->credtype[i]);
    for (int type = 0; type <= VIR_CRED_LAST; type++) {
        /* Passwords are read from the terminal. */
        if (type == VIR_CRED_PASSPHRASE || type == VIR_CRED_NOECHOPROMPT)
            continue;
        if (type != VIR_CRED_EXTERNAL)
            ask(type, "A prompt", NULL, NULL);
        ask(type, "A prompt", "challenge", "preset");
    }
    /* By now the input is at its end. */
    ask(VIR_CRED_ECHOPROMPT, "A prompt", NULL, NULL);
    ask(VIR_CRED_ECHOPROMPT, "A prompt", NULL, "preset");
    return 0;
}
