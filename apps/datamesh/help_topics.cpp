#include "command_tree.hpp"

namespace datamesh::cli {

const std::vector<help_topic>& help_topics() {
  static const std::vector<help_topic> topics = {
      {"exit-codes", "What the exit code of a command says",
       "0    all is well\n"
       "1    failed\n"
       "2    the command line or the configuration is not understood\n"
       "3    some items failed, the rest was done; or: less redundancy than there should be\n"
       "4    not logged in, or refused\n"
       "5    no such file, drive, version or node\n"
       "6    a quota or limit is reached\n"
       "7    data is damaged beyond recovery\n"
       "8    temporary: the same command may work later\n"
       "10   there is no vault or node here\n"
       "11   locked by another process\n"
       "12   wrong password\n"
       "130  interrupted\n"
       "\n"
       "These numbers are never changed. 'datamesh explain' lists the error codes with the exit code of each.\n"},
      {"environment", "Variables that are read",
       "Every option --some-name can be set by a variable DATAMESH_SOME_NAME, as in DATAMESH_PASSWORD_FILE.\n"
       "An option without a value takes 1, true, yes or on, and 0, false, no or off. An option that may be\n"
       "given several times takes values separated by ':'.\n"
       "\n"
       "The command line counts more than a variable, a variable more than the configuration file, and that\n"
       "more than the default. 'datamesh config show --origin' says what holds, and why.\n"
       "\n"
       "NO_COLOR         switches colours off where --color is 'auto'\n"
       "CLICOLOR_FORCE   switches colours on where --color is 'auto'\n"
       "DATAMESH_PAGER, PAGER\n"
       "                 program that shows long lists on a terminal\n"
       "XDG_CONFIG_HOME  folder of datamesh/config.toml; ~/.config when not set. For root,\n"
       "                 /etc/datamesh/config.toml counts, too, and less; system users have that alone\n"
       "XDG_DATA_HOME    folder of datamesh/, the home of the node; ~/.local/share when not set, and\n"
       "                 /var/lib for root\n"},
      {"patterns", "Patterns over paths of the vault",
       "A PATH of the vault may be a pattern; put it in quotes, or the shell matches it against this machine's\n"
       "files. An entry that has exactly that name is preferred.\n"
       "\n"
       "?       one byte, but no '/'\n"
       "*       any number of bytes without a '/'\n"
       "**      any number of bytes\n"
       "[a-z]   one byte of a set; [!a-z] one that is not in it\n"
       "\\x      the byte x itself\n"},
      {"json", "What --json prints",
       "One JSON object on each line of standard output, told apart by its message_type:\n"
       "\n"
       "status      progress of a running command, damage found and healed, drives that change\n"
       "item        one result: an entry, a drive, a stored file\n"
       "error       one item that failed, or a warning; the command goes on\n"
       "summary     the result of the whole command; only exit_error follows it\n"
       "exit_error  why the exit code is not 0; always the last line\n"
       "\n"
       "Sizes are numbers of bytes, times are RFC 3339 in UTC. A name that is not UTF-8 has U+FFFD for each wrong\n"
       "byte, and its exact bytes in a member NAME_base64. docs/schemas/command-line.json is the schema.\n"},
  };
  return topics;
}

} // namespace datamesh::cli
