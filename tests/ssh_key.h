/* ssh_key.h - private keys that ssh-keygen made for the tests and that are known nowhere. */
#ifndef HEARTH_TESTS_SSH_KEY_H
#define HEARTH_TESTS_SSH_KEY_H

static const char ssh_key[] =
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
    "QyNTUxOQAAACBOyyLOoqzJlyxkpH+LcOCSY7Qo2TKkmzRfxB5veb+QZgAAAIiTqI4ck6iO\n"
    "HAAAAAtzc2gtZWQyNTUxOQAAACBOyyLOoqzJlyxkpH+LcOCSY7Qo2TKkmzRfxB5veb+QZg\n"
    "AAAEDrKXdz7HLam1aEsoCqoYXJ2iNtaJBNFY01unuBADUvmk7LIs6irMmXLGSkf4tw4JJj\n"
    "tCjZMqSbNF/EHm95v5BmAAAABHRlc3QB\n"
    "-----END OPENSSH PRIVATE KEY-----\n";
/* The same with a passphrase. */
static const char ssh_key_locked[] =
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDWwk9i4j\n"
    "Xb1JA0DN3otdtIAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIJDk7g6Z5P7u2GCE\n"
    "qviC6LJm1nkuDCzdkhvH/KhtzY7YAAAAkJCf28a7xwLMzbSYNMI/l7cK2j/w7ztF3nDM9f\n"
    "5QfE7mi7i9uGrtldS3biO+fZpVgnjHVrXN2SB8d1vTOFFAtpwZXnb0aWQx89E/7T9RN2wK\n"
    "l/8wIZ88NwOpWh8SHVUFRQDRZ73UKgfiLmaXPcuolXi6cB2CF88oi+bA/k3+ZximsSR8O/\n"
    "a5Iz4yQ/mSyVaXXg==\n"
    "-----END OPENSSH PRIVATE KEY-----\n";

#endif
