// The table itself. Texts are sentences for people who have not read the source.
#include "command_tree.hpp"

#include "datamesh/mesh.hpp"

#include <algorithm>
#include <cctype>

namespace datamesh::cli {

namespace {

using kind = value_kind;

// -- options that several commands have --------------------------------------------

const option_spec dry_run = {.name = "dry-run", .letter = 'n', .text = "Say what would be done, and do nothing."};
const option_spec yes = {.name = "yes", .letter = 'y', .text = "Do not ask. Needed when standard input is no terminal."};
const option_spec interactive = {.name = "interactive", .letter = 'i', .text = "Ask before each change."};
const option_spec flush = {
    .name = "flush",
    .text = "Also put the change into packs on the drives before the command ends. Without it the change is in the local "
            "catalog only until the next put: should the catalog be lost before, 'rebuild' does not know of it.",
    .in_config = true};
const option_spec if_exists = {.name = "if-exists",
                               .kind = kind::choice,
                               .placeholder = "WHAT",
                               .text = "When the name is taken: 'version' makes a new version of what is there, 'fail' refuses, 'rename' "
                                       "stores as \"name (2)\".",
                               .fallback = "version",
                               .choices = {"version", "fail", "rename"},
                               .in_config = true};
const option_spec if_exists_move = {.name = "if-exists",
                                    .kind = kind::choice,
                                    .placeholder = "WHAT",
                                    .text = "When the name is taken: 'fail' refuses, 'rename' takes \"name (2)\".",
                                    .fallback = "fail",
                                    .choices = {"fail", "rename"}};
const option_spec if_exists_copy = {.name = "if-exists",
                                    .kind = kind::choice,
                                    .placeholder = "WHAT",
                                    .text = "When the name is taken: 'fail' refuses, 'version' makes a new version of what is there, "
                                            "'rename' takes \"name (2)\".",
                                    .fallback = "fail",
                                    .choices = {"version", "fail", "rename"}};
const option_spec policy = {
    .name = "policy",
    .kind = kind::policy,
    .placeholder = "K+M",
    .text = "Data and parity shards of each pack: any M drives may be lost. Chosen by the number of drives when not given. What is "
            "known already keeps the protection that it has; 'cleanup --policy' raises it.",
    .in_config = true};
const option_spec range = {.name = "range",
                           .kind = kind::range,
                           .placeholder = "A-B|A+LENGTH",
                           .text = "Only these bytes, counted from 0: A to B with both included, LENGTH bytes from A, or 'A-' to the end."};
const option_spec version = {
    .name = "version", .kind = kind::text, .placeholder = "ID", .text = "An older version, by the first digits that 'versions' shows."};
const option_spec no_password = {.name = "no-password", .text = "Make no password: only this machine's device key opens the vault."};
const option_spec trust_device = {.name = "trust-device", .text = "Also let this machine open the vault without a password."};
const option_spec recursive_list = {.name = "recursive", .letter = 'r', .text = "Also list what lies below."};

command_spec with_section(std::string_view section, command_spec c) {
  c.section = section;
  return c;
}

// -- commands ------------------------------------------------------------------------

std::vector<command_spec> start_commands() {
  return {
      {.name = "init",
       .summary = "Make a node, its drives and a first vault",
       .text =
           "Makes the node's home, turns each --drive folder into a drive and creates a vault. Folders that are missing are made. No drive "
           "lies in another one, in the home or around it.\n\n"
           "The recovery phrase is printed once and kept nowhere. It opens the vault when the password is forgotten: write it down. "
           "Should the home be lost, it takes a copy of the key file, too; 'key export' makes one.\n\n"
           "With one drive data is protected against bit rot only; with several, the loss of whole drives is survived, too.\n\n"
           "Where a daemon serves the home, or --socket names one, its node is given the drives and the vault, and no other is made.\n\n"
           "Without --drive a terminal is asked for what is needed, and the command line that this comes to is shown.",
       .example = "datamesh init --drive /mnt/a --drive /mnt/b --drive /mnt/c\n"
                  "datamesh init -d /srv/disk1 -d /srv/disk2 --name photos --trust-device",
       .options = {{.name = "drive",
                    .letter = 'd',
                    .kind = kind::folder,
                    .placeholder = "DIR",
                    .text = "A folder to use as a drive.",
                    .repeated = true},
                   {.name = "name", .kind = kind::new_name, .placeholder = "NAME", .text = "Name of the vault.", .fallback = "main"},
                   no_password,
                   trust_device},
       .groups = group_node | group_vault},
      {.name = "doctor",
       .summary = "Check the machine, the node and its drives",
       .text =
           "Measures how long the disk takes to make data durable, and looks at free space, limits, drives, key file permissions and the "
           "clock. Each line says ok, warn or fail; what is not ok comes with a cause and one command to run.\n\n"
           "Exits with 0 when all is well, 3 when something deserves attention, 1 when something is broken.",
       .example = "datamesh doctor",
       .groups = group_node},
  };
}

std::vector<command_spec> data_commands() {
  return {
      {.name = "put",
       .summary = "Store files and folders",
       .text =
           "Each SOURCE is stored under its own name in the folder --to. A file that is there already gets a new version; what did not "
           "change since is not stored again, so an interrupted put is resumed by running it once more.\n\n"
           "A SOURCE of '-' is standard input; it needs a name (--as). Symbolic links are stored as links. Sockets, pipes and devices are "
           "reported and left out, and so are the drives and the folder of the store itself. A time of change outside of the years 1678 to "
           "2261 is stored as the nearest that can be told, with a warning.\n\n"
           "When some files can not be read, the rest is stored and the exit code is 3.\n\n"
           "A put of more than a few seconds, or any with --verbose, says for what it waited longest: what it reads, the processors, the "
           "drives (and which of them, when one holds the others up), the catalog, or memory. That is what would have to be faster.",
       .example = "datamesh put ~/Documents\n"
                  "datamesh put photo.jpg --to /pictures --as holiday.jpg\n"
                  "pg_dump shop | datamesh put - --as shop.sql --to /dumps",
       .arguments = {{.name = "SOURCE", .kind = kind::path, .optional = true, .repeated = true}},
       .options = {{.name = "to",
                    .letter = 't',
                    .kind = kind::vault_path,
                    .placeholder = "FOLDER",
                    .text = "Folder of the vault to store in.",
                    .fallback = "/"},
                   {.name = "as", .kind = kind::text, .placeholder = "NAME", .text = "Store a single source under this name."},
                   {.name = "stdin", .text = "Store standard input; the same as a SOURCE of '-'."},
                   if_exists,
                   policy,
                   {.name = "exclude",
                    .letter = 'x',
                    .kind = kind::text,
                    .placeholder = "GLOB",
                    .text = "Leave out what matches, by its path below its source.",
                    .repeated = true,
                    .in_config = true},
                   {.name = "checksum",
                    .letter = 'c',
                    .text =
                        "Read every file. Without it a file is taken for unchanged, and not read, when its size, device, inode and times "
                        "are as the last put of it found them. What is written through a lasting memory map may be missed so."},
                   {.name = "dry-run", .letter = 'n', .text = "Read and cut everything, and say what would be stored, but store nothing."}},
       .groups = group_node | group_vault | group_mesh},
      {.name = "get",
       .summary = "Bring files and folders back",
       .text = "Writes each PATH of the vault into the folder --to, which is made when it is missing. A file gets its name only when it is "
               "whole "
               "and checked; an interrupted get is resumed by running it once more. A file that is there already is not touched without "
               "--force.\n\n"
               "With '--to -' a single file is written to standard output. Patterns in quotes are matched against the vault.\n\n"
               "As put does, a get says for what it waited longest; here that may be what it writes, too.",
       .example = "datamesh get /Documents --to /tmp/back\n"
                  "datamesh get '/pictures/**/*.jpg' --to .\n"
                  "datamesh get /dumps/shop.sql --to - | psql shop",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .options =
           {{.name = "to",
             .letter = 't',
             .kind = kind::folder,
             .placeholder = "FOLDER",
             .text = "Folder to write into, or '-' for standard output.",
             .fallback = "."},
            {.name = "as", .kind = kind::text, .placeholder = "NAME", .text = "Write a single PATH under this name."},
            {.name = "force", .letter = 'f', .text = "Replace files that are there already."},
            {.name = "sync",
             .text = "Wait until what was brought back is durable; as after a copy, a power loss right after may take it otherwise.",
             .in_config = true},
            version,
            {.name = "range",
             .kind = kind::range,
             .placeholder = "A-B|A+LENGTH",
             .text =
                 "Only these bytes, counted from 0: A to B with both included, LENGTH bytes from A, or 'A-' to the end. Needs '--to -'."}},
       .groups = group_node | group_vault | group_mesh},
      {.name = "cat",
       .summary = "Write a file to standard output",
       .text = "Streams PATH. Only the parts of the drives that hold the wanted bytes are read. With --json each block is a line with its "
               "offset "
               "and its bytes in base64.",
       .example = "datamesh cat /notes.txt\ndatamesh cat /video.mkv --range 1M+64K | xxd",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .options = {range, version},
       .groups = group_node | group_vault | group_mesh},
      {.name = "ls",
       .summary = "List files and folders",
       .text =
           "Lists the entries of each PATH, or of the root folder, in bytewise order of their paths. Control characters in names are shown "
           "as \\x1b, a backslash as \\\\; --json has the exact bytes.",
       .example =
           "datamesh ls\ndatamesh ls -l --health /Documents\ndatamesh ls -r --name '*.jpg' --larger 1M --newer 30d\ndatamesh ls --trash",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .optional = true, .repeated = true}},
       .options = {{.name = "long", .letter = 'l', .text = "With mode, size, time and number of versions."},
                   recursive_list,
                   {.name = "health", .text = "With the number of drives that may still fail before data is lost."},
                   {.name = "trash", .text = "List what was removed and can be restored, newest first."},
                   {.name = "tag",
                    .kind = kind::text,
                    .placeholder = "KEY[=VALUE]",
                    .text = "Only what has this tag, and all others that are named.",
                    .repeated = true},
                   {.name = "name", .kind = kind::text, .placeholder = "GLOB", .text = "Only what has a name that matches."},
                   {.name = "larger", .kind = kind::size, .placeholder = "SIZE", .text = "Only files of more than SIZE."},
                   {.name = "smaller", .kind = kind::size, .placeholder = "SIZE", .text = "Only files of less than SIZE."},
                   {.name = "newer",
                    .kind = kind::date,
                    .placeholder = "DATE",
                    .text = "Only what was modified after DATE: 2026-01-31, or 7d for a week ago."},
                   {.name = "older", .kind = kind::date, .placeholder = "DATE", .text = "Only what was modified before DATE."}},
       .groups = group_node | group_vault},
      {.name = "info",
       .summary = "Show all about a file or folder",
       .example = "datamesh info /Documents/plan.odt",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .groups = group_node | group_vault},
      {.name = "mkdir",
       .summary = "Make a folder in the vault",
       .example = "datamesh mkdir /pictures",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .options = {flush},
       .groups = group_node | group_vault},
      {.name = "rm",
       .summary = "Move files and folders to the trash",
       .text = "What is removed can be brought back with 'restore' until 'cleanup' forgets it, after 30 days by default.\n\n"
               "A path that is a file in the vault and a folder to 'put', or the other way round, is stored once the old one is removed.",
       .example = "datamesh rm /old.txt\ndatamesh rm -r --dry-run '/tmp/*'",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .options = {{.name = "recursive", .letter = 'r', .text = "Also folders, with all they hold."}, dry_run, interactive, flush},
       .groups = group_node | group_vault},
      {.name = "mv",
       .summary = "Move or rename files and folders",
       .text =
           "When TARGET is a folder, each SOURCE goes into it under its own name; else a single SOURCE becomes TARGET. No data is read or "
           "written.",
       .example = "datamesh mv /draft.txt /final.txt\ndatamesh mv /a.jpg /b.jpg /pictures",
       .arguments = {{.name = "SOURCE", .kind = kind::vault_path, .repeated = true}, {.name = "TARGET", .kind = kind::vault_path}},
       .options = {if_exists_move, dry_run, interactive, flush},
       .groups = group_node | group_vault},
      {.name = "cp",
       .summary = "Copy files and folders within the vault",
       .text =
           "The copies share the stored data of their sources. When TARGET is a folder, each SOURCE is copied into it under its own name.",
       .example = "datamesh cp /report.odt /archive/report-2026.odt",
       .arguments = {{.name = "SOURCE", .kind = kind::vault_path, .repeated = true}, {.name = "TARGET", .kind = kind::vault_path}},
       .options = {if_exists_copy, dry_run, flush},
       .groups = group_node | group_vault},
      {.name = "tag",
       .summary = "Show, set and remove tags of a file or folder",
       .text = "Without KEY=VALUE and --remove the tags of PATH are listed.",
       .example = "datamesh tag /taxes.pdf year=2025 kind=tax\ndatamesh tag /taxes.pdf --remove kind",
       .arguments = {{.name = "PATH", .kind = kind::vault_path},
                     {.name = "KEY=VALUE", .kind = kind::text, .optional = true, .repeated = true}},
       .options = {{.name = "remove", .kind = kind::text, .placeholder = "KEY", .text = "Remove this tag.", .repeated = true},
                   dry_run,
                   flush},
       .groups = group_node | group_vault},
      {.name = "versions",
       .summary = "List the versions of a file",
       .text = "Newest first. 'get --version' brings one back into a folder, 'restore --version' makes one the current one.",
       .example = "datamesh versions /plan.odt\ndatamesh get /plan.odt --version 3fa8 --as plan-old.odt",
       .arguments = {{.name = "PATH", .kind = kind::vault_path}},
       .groups = group_node | group_vault},
      {.name = "restore",
       .summary = "Undo a removal, or make an older version current",
       .text = "PATH is where the removed entry was, and it goes back there; of several removals there the newest is taken. A bare name, "
               "without a '/', may have been anywhere: where nothing of that name was in the root folder, the newest goes back to where it "
               "was. "
               "An id that 'ls --trash' shows does, too. With --version an older version of a file that still is there becomes the current "
               "one.",
       .example = "datamesh restore /old.txt\ndatamesh restore /old.txt --to /again.txt\ndatamesh restore /plan.odt --version 3fa8",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .repeated = true}},
       .options = {{.name = "to",
                    .letter = 't',
                    .kind = kind::vault_path,
                    .placeholder = "PATH",
                    .text = "Where it goes, its name included; back to where it was when not given."},
                   version,
                   dry_run,
                   flush},
       .groups = group_node | group_vault},
  };
}

std::vector<command_spec> care_commands() {
  return {
      {.name = "status",
       .summary = "Say whether my data is safe, and what that rests on",
       .text =
           "The answer comes first, then the figures. Exits with 0 when data is safe, 3 when it has less redundancy than it should have, "
           "7 when some is lost.",
       .example = "datamesh status\ndatamesh status --json",
       .groups = group_node | group_vault | group_mesh},
      {.name = "stats",
       .summary = "Show how much is stored, and what deduplication and compression save",
       .example = "datamesh stats --bytes",
       .groups = group_node | group_vault},
      {.name = "verify",
       .summary = "Check that everything that is stored can be read",
       .text = "Checks that every shard is there and is the one that was written; with --deep every block of every shard is read. PATH "
               "limits the "
               "check to what these files need. Exits with 3 when shards are missing or damaged, 7 when files are lost, and lists exactly "
               "those.",
       .example = "datamesh verify\ndatamesh verify --deep --repair",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .optional = true, .repeated = true}},
       .options = {{.name = "deep", .text = "Read and check every block."},
                   {.name = "repair", .text = "Rebuild what is missing or damaged."},
                   dry_run},
       .groups = group_node | group_vault | group_mesh},
      {.name = "repair",
       .summary = "Rebuild shards that are missing or damaged",
       .text = "The same as 'verify --repair'.",
       .example = "datamesh repair\ndatamesh repair --deep",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .optional = true, .repeated = true}},
       .options = {{.name = "deep", .text = "Read and check every block first."}, dry_run},
       .groups = group_node | group_vault | group_mesh},
      {.name = "cleanup",
       .summary = "Forget old trash and free the space of what nothing needs",
       .text = "Forgets what has been in the trash for longer than --trash-age and, with --keep-versions, older versions of files. Then "
               "frees the drives of data that nothing refers to any more: packs of which less than 60 % is needed, and short ones, are "
               "written anew. What is forgotten can not be restored; a shorter age than 30 days and "
               "--keep-versions ask first.\n\n"
               "What is written anew survives the loss of as many drives as before, or more. With --policy so is every pack that survives "
               "the loss of fewer drives than new data with that policy: so data that was stored when there were fewer drives gets the "
               "protection of more.\n\n"
               "Where packs on the drives could not be read, since other drives are away or the key file is older, nobody knows what they "
               "need, and nothing is deleted until they can be. --give-up-unread is for what is gone for good.",
       .example = "datamesh cleanup --dry-run\ndatamesh cleanup --trash-age 7d --keep-versions 10 --yes\n"
                  "datamesh cleanup --policy 4+2",
       .options = {{.name = "trash-age",
                    .kind = kind::span,
                    .placeholder = "AGE",
                    .text = "Keep what was removed for this long; 0 keeps nothing that is in the trash.",
                    .fallback = "30d",
                    .in_config = true},
                   {.name = "keep-versions",
                    .kind = kind::number,
                    .placeholder = "N",
                    .text = "Keep N versions of each file: the current one, and the newest of the others. 0 keeps all.",
                    .fallback = "0",
                    .in_config = true},
                   {.name = "policy",
                    .kind = kind::policy,
                    .placeholder = "K+M",
                    .text = "Write packs anew that survive the loss of fewer than M drives."},
                   {.name = "give-up-unread", .text = "Delete also what only packs that could not be read may need."},
                   dry_run,
                   interactive,
                   yes},
       .groups = group_node | group_vault | group_mesh},
      {.name = "rebalance",
       .summary = "Move data off draining and failed drives, onto emptier ones, and apart",
       .text = "Shards that lie closer to each other than they need to, since drives were labelled or added later, are moved to other "
               "zones, operators or nodes ('drive label'), as few of them as that takes. Those on drives that 'drive rule' leaves out are "
               "moved to others within the rule, where there are enough of them.",
       .example = "datamesh rebalance --dry-run",
       .options = {dry_run},
       .groups = group_node | group_vault | group_mesh},
      {.name = "topology",
       .summary = "Show where the drives are, and what a loss would do",
       .text =
           "The drives by region, zone, operator and node, as 'drive label' says, with what is on them. A level that no drive is labelled "
           "with is left out.\n\n"
           "--without tells what would be if drives were gone for good, all that are named at once: how many packs of the vault would "
           "have all their shards, fewer, just enough ('at the margin': the next loss is one of data), or too few, and what a repair "
           "would read and write, and whether there is room for it. It counts the shards of each pack where they are; nothing is done. "
           "WHAT is a drive, 'node:' and the first digits of a node's id, 'node:this', or region=NAME, zone=NAME or operator=NAME. It "
           "exits with 0 whatever the answer is.",
       .example = "datamesh topology\ndatamesh topology --without zone=house-1\ndatamesh topology --dot | dot -Tsvg > drives.svg",
       .options = {{.name = "without",
                    .kind = kind::text,
                    .placeholder = "WHAT",
                    .text = "Tell what would be without this drive, node or zone, and all others that are named.",
                    .repeated = true},
                   {.name = "dot", .text = "Print the tree in the language of Graphviz."}},
       .groups = group_node | group_vault},
      {.name = "distribution",
       .summary = "Show where the data of files is, and how much may be lost of that",
       .text = "The packs that PATH, with all below, is in: how many have a shard in which zone, of which operator, on which node and "
               "drive, and "
               "how many of them could not be read without it (NEEDED). BAD shards are missing, damaged, or on a drive that is not in "
               "service. Then how many shards of any pack, and how many zones, nodes and drives, may go before data does. Without PATH and "
               "--tag all packs are counted, with those of older versions and of the catalog.",
       .example = "datamesh distribution /photos\ndatamesh distribution --tag kind=tax",
       .arguments = {{.name = "PATH", .kind = kind::vault_path, .optional = true, .repeated = true}},
       .options = {{.name = "tag", .kind = kind::text, .placeholder = "KEY[=VALUE]", .text = "Only files with this tag."}},
       .groups = group_node | group_vault},
      {.name = "rebuild",
       .summary = "Make the catalog again from the drives and the key alone",
       .text = "For when the catalog is lost or damaged. Nothing on the drives is changed. What rm, mv, cp, tag, mkdir and restore "
               "changed since the last put or --flush was in the catalog only and is lost with it: what was removed is there again, what "
               "was moved is where it was.",
       .example = "datamesh rebuild",
       .groups = group_node | group_vault | group_mesh},
      {.name = "recover",
       .summary = "Bring a vault back from its recovery phrase and other nodes alone",
       .text = "For a new machine, or when the home is lost, of a vault that had nodes of a mesh as drives. The settings of "
               "the daemon must name that mesh: 'mesh_network' and one address in 'mesh_seeds' are enough. The mesh keeps, sealed for the "
               "phrase, the key "
               "file and the ids of the nodes; these become drives of this node, and the catalog is made again from what is on them, as "
               "by 'rebuild'.\n\n"
               "The phrase is asked for, or read with --phrase-file; the password that the vault had opens it afterwards, too. A node that "
               "does not answer is told, and can be added later with 'drive add'. Drives of the lost machine that are left are taken over "
               "with 'drive adopt'. 'status' tells of a vault whether the mesh keeps this of it, and until when.",
       .example = "datamesh recover\ndatamesh recover --phrase-file phrase.txt --name photos",
       .options = {{.name = "name", .kind = kind::new_name, .placeholder = "NAME", .text = "Name of the vault.", .fallback = "main"}},
       .groups = group_node | group_vault | group_mesh},
      {.name = "bench",
       .summary = "Measure how fast this machine stores and fetches",
       .text = "Makes a throw-away node with drives in a temporary folder, stores and fetches generated data through it, and removes it. "
               "Your own "
               "vaults are not touched.",
       .example = "datamesh bench --size 1G --folder /mnt/a",
       .options = {{.name = "size", .kind = kind::size, .placeholder = "SIZE", .text = "Bytes of each kind of data.", .fallback = "256M"},
                   {.name = "folder",
                    .kind = kind::folder,
                    .placeholder = "DIR",
                    .text = "Where the temporary folder is made; the node's home when not given."},
                   {.name = "drives", .kind = kind::number, .placeholder = "N", .text = "Number of drives.", .fallback = "6"},
                   {.name = "policy", .kind = kind::policy, .placeholder = "K+M", .text = "Data and parity shards of each pack."}},
       .groups = group_node},
  };
}

std::vector<command_spec> drive_commands() {
  return {
      {.name = "add",
       .summary = "Turn folders into drives of this node",
       .text =
           "A folder that is missing is made. None may lie in another drive, in the node's home or around it; then none of them is added. "
           "A drive of this node that is draining gets new data again, and keeps what it still has: the way back from 'drive drain'.",
       .example = "datamesh drive add /mnt/d",
       .arguments = {{.name = "DIR", .kind = kind::folder, .repeated = true}},
       .groups = group_node | group_mesh},
      {.name = "list",
       .summary = "List the drives and how they are",
       .text =
           "STATE is 'ok', or 'read-only': its file system takes no writes, so the drive is read and gets no data until that is mounted "
           "read-write, when it is used again by itself. 'draining': it gets no new data. 'failed': a write to it could not be made "
           "durable; what it has is read, and belongs elsewhere. 'missing': it is not there.",
       .example = "datamesh drive list",
       .groups = group_node | group_mesh},
      {.name = "drain",
       .summary = "Give a drive no new data; 'rebalance' empties it",
       .text = "What it has can be read, until 'rebalance' moves it to other drives. With 'drive add DIR', where DIR is its folder, it "
               "gets new data again. What is kept on it for other nodes is not moved.",
       .example = "datamesh drive drain /mnt/a && datamesh rebalance",
       .arguments = {{.name = "DRIVE", .kind = kind::drive}},
       .options = {dry_run},
       .groups = group_node},
      {.name = "replace",
       .summary = "Put a new drive in the place of an old one",
       .text = "Adds NEW, drains OLD, moves what OLD still can give and rebuilds the rest, and takes OLD out of the node once nothing "
               "depends on it. When something does, OLD stays, and the command says why and what to do; run again, it goes on with NEW. "
               "OLD may be failed, full, read-only or missing. Works on the shards of one vault; a missing OLD goes, too, when others had "
               "shards there: for these run 'datamesh --vault NAME repair'.",
       .example = "datamesh drive replace /mnt/a /mnt/e",
       .arguments = {{.name = "OLD", .kind = kind::drive}, {.name = "NEW", .kind = kind::folder}},
       .options = {dry_run},
       .groups = group_node | group_vault | group_mesh},
      {.name = "adopt",
       .summary = "Take a drive of another node, with what is on it",
       .example = "datamesh drive adopt /mnt/from-the-old-machine",
       .arguments = {{.name = "DIR", .kind = kind::folder, .repeated = true}},
       .groups = group_node},
      {.name = "remove",
       .summary = "Take a drive out of the node",
       .text = "Only a drive that no pack depends on, and where nothing is kept for others, whatever its state; with --force, which says "
               "what depends on it, any drive. Shards on it are missing then until 'repair' rebuilds them; those of others are up to their "
               "owners. The folder itself is not deleted.",
       .example = "datamesh drive remove /mnt/a",
       .arguments = {{.name = "DRIVE", .kind = kind::drive}},
       .options = {{.name = "force", .letter = 'f', .text = "Even when packs or others depend on it."}, dry_run, yes},
       .groups = group_node | group_mesh},
      {.name = "label",
       .summary = "Say in which zone and region a drive is, and who runs it",
       .text = "The shards of a pack are kept apart by it: from each zone no more than may be lost, one where there are zones enough, and "
               "within that the same for operators, then for nodes. Where drives are in too few zones for that, operators count, then "
               "nodes, then drives. A drive without a label counts with its node.\n\n"
               "What is not named stays, and 'zone=' takes the label away. A label has 1 to 64 letters, digits, '.', '_' or '-'. It holds "
               "for new data; 'rebalance' moves what is there. Two zones of one name in two regions are two. 'drive replace' gives the new "
               "drive the labels of the old one.",
       .example = "datamesh drive label /mnt/a zone=house-1 region=eu\ndatamesh drive label /mnt/a operator=",
       .arguments = {{.name = "DRIVE", .kind = kind::drive}, {.name = "KEY=VALUE", .kind = kind::text, .repeated = true}},
       .options = {dry_run},
       .groups = group_node},
      {.name = "rule",
       .summary = "Say by what labels drives may have data, and what is outside",
       .text =
           "Without an option it shows the rule, and which drives it leaves out. It is for all vaults of this node, and takes the place of "
           "the one before as a whole.\n\n"
           "A drive has to have, of each kind that --only names, one of the labels named there, and none of --never. A drive without a "
           "label of that kind is left out by --only, and not by --never: nobody said where it is. What is stored, made again by 'repair' "
           "or moved goes to drives within the rule, and a put for which they are too few is refused before anything is stored. Nodes "
           "that it leaves out are not told any more to make up for what other nodes lose.\n\n"
           "What lies elsewhere already is read, counted here and by 'status', and moved by 'rebalance'; so is what another label of a "
           "drive puts outside. A label is what the operator of this node said with 'drive label': nobody proves it.",
       .example = "datamesh drive rule --only region=eu\ndatamesh drive rule --only region=eu --only region=ch --never operator=bob "
                  "--dry-run\ndatamesh drive rule --clear",
       .options = {{.name = "only",
                    .kind = kind::text,
                    .placeholder = "KEY=VALUE",
                    .text = "Drives with this label; one of several of the same key is enough.",
                    .repeated = true},
                   {.name = "never",
                    .kind = kind::text,
                    .placeholder = "KEY=VALUE",
                    .text = "No drive with this label, whatever else it has.",
                    .repeated = true},
                   {.name = "clear", .text = "Take the rule away."},
                   dry_run},
       .groups = group_node},
      {.name = "audits",
       .summary = "How far other nodes can be relied upon, and what tells so",
       .text = "Each 'verify', which the daemon does by itself, has nodes prove blocks by chance: up to 32 of each node's shards at "
               "once, and as many a day. The score is 1 for a node that never failed, and counts what happened last most; "
               "the less it is, the less is placed there. A node that has lost shards can make up for it. One that sends what it was not "
               "given, twice for the same block or three times in 90 days, is relied upon no more: it gets nothing new, and what it has is "
               "made again elsewhere.",
       .example =
           "datamesh drive audits\ndatamesh drive audits node:5f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0 --json",
       .arguments = {{.name = "DRIVE", .kind = kind::drive, .optional = true}},
       .groups = group_node},
  };
}

const option_spec operator_key = {.name = "operator-key",
                                  .letter = 'k',
                                  .kind = kind::path,
                                  .placeholder = "KEYFILE",
                                  .text = "The operator's key that signs, as 'members key' made it."};
const option_spec operator_password_file = {.name = "operator-password-file",
                                            .kind = kind::path,
                                            .placeholder = "FILE",
                                            .text = "Read the password of KEYFILE from the first line of FILE; '-' is standard input."};
const option_spec operator_password_command = {.name = "operator-password-command",
                                               .kind = kind::text,
                                               .placeholder = "COMMAND",
                                               .text = "Take the password of KEYFILE from the first line that COMMAND prints."};
const option_spec operators = {.name = "operator",
                               .kind = kind::text,
                               .placeholder = "ID",
                               .text = "Who may sign lists, by the id that 'members key' shows; all of them have to be named.",
                               .repeated = true};
const option_spec threshold = {.name = "threshold",
                               .kind = kind::number,
                               .placeholder = "N",
                               .text = "How many of the operators have to sign.",
                               .least = 1,
                               .most = 16};
const option_spec lasts = {.name = "lasts",
                           .kind = kind::span,
                           .placeholder = "SPAN",
                           .text = "Let the list run out after SPAN, as in 90d: then nobody is let in until there is a newer one."};

std::vector<command_spec> members_commands() {
  return {
      {.name = "key",
       .summary = "Make the key of an operator, or show whose it is",
       .text = "An operator is a person who may say who is let in. The key is made in KEYFILE, sealed with a password and readable by its "
               "owner alone; it is of no use on nodes, and belongs where the operator is. Where KEYFILE is there, its id is shown, and "
               "nothing is asked.",
       .example = "datamesh members key ~/mesh-operator.key",
       .arguments = {{.name = "KEYFILE", .kind = kind::path}},
       .options = {operator_password_file, operator_password_command}},
      {.name = "init",
       .summary = "Close a mesh: make its first list of members",
       .text = "LIST is a new file. Without --network, the mesh is that of the daemon of this machine, whose node is the first member. "
               "Without --operator, the owner of KEYFILE alone may sign.\n\n"
               "A node lets in members alone when 'mesh_members' in its datameshd.toml names a copy of LIST and it was restarted; an open "
               "mesh is closed when all of its nodes do. See datameshd(8).",
       .example = "datamesh members init members.list --operator-key ~/mesh-operator.key\n"
                  "datamesh members init members.list -k ann.key --operator 9d...51 --operator 3f...aa --threshold 2 --network 3f1c...",
       .arguments = {{.name = "LIST", .kind = kind::path}},
       .options = {operator_key,
                   operator_password_file,
                   operator_password_command,
                   {.name = "network", .kind = kind::text, .placeholder = "MESH", .text = "The mesh, as 'mesh_network' names it."},
                   operators,
                   threshold,
                   lasts,
                   dry_run},
       .groups = group_node},
      {.name = "add",
       .summary = "Put nodes on the list of members",
       .text =
           "NODE is the id that 'datamesh node status' shows there. LIST becomes the next list, signed. Take it to one node of the mesh, "
           "where 'mesh_members' names it, and let its daemon read it ('systemctl reload datameshd'): the others have it from there, "
           "also those that come later.",
       .example = "datamesh members add members.list 5f1e...d3c4 --label cellar -k ~/mesh-operator.key",
       .arguments = {{.name = "LIST", .kind = kind::path}, {.name = "NODE", .kind = kind::text, .repeated = true}},
       .options = {operator_key,
                   operator_password_file,
                   operator_password_command,
                   {.name = "label", .kind = kind::text, .placeholder = "TEXT", .text = "For people: whose node it is, or where."},
                   dry_run}},
      {.name = "remove",
       .summary = "Take nodes off the list of members",
       .text =
           "As 'members add'. Each node ends its links with them as soon as it has the list. What they keep, and what they know already, "
           "they keep.",
       .example = "datamesh members remove members.list 5f1e...d3c4 -k ~/mesh-operator.key",
       .arguments = {{.name = "LIST", .kind = kind::path}, {.name = "NODE", .kind = kind::text, .repeated = true}},
       .options = {operator_key, operator_password_file, operator_password_command, dry_run}},
      {.name = "set",
       .summary = "Change who signs, and how long the list holds",
       .text =
           "So many operators of the list before have to sign the next one as that says, and so many of its own: other operators add "
           "their signatures with 'members sign'. A node that never saw a list which both have signed does not take later ones: hand it "
           "that list first.",
       .example = "datamesh members set members.list --lasts 90d -k ~/mesh-operator.key\n"
                  "datamesh members set members.list --operator 9d...51 --operator 3f...aa --threshold 2 -k ~/mesh-operator.key",
       .arguments = {{.name = "LIST", .kind = kind::path}},
       .options = {operator_key,
                   operator_password_file,
                   operator_password_command,
                   operators,
                   threshold,
                   lasts,
                   {.name = "lasts-forever", .text = "Let it hold until there is a newer one."},
                   dry_run}},
      {.name = "sign",
       .summary = "Add the signature of another operator",
       .text = "Look at it first: 'datamesh members show LIST'.",
       .example = "datamesh members sign members.list -k ~/mesh-operator.key",
       .arguments = {{.name = "LIST", .kind = kind::path}},
       .options = {operator_key, operator_password_file, operator_password_command, dry_run}},
      {.name = "show",
       .summary = "Show a list of members, and who has signed it",
       .example = "datamesh members show members.list",
       .arguments = {{.name = "LIST", .kind = kind::path}}},
  };
}

std::vector<command_spec> preset_commands() {
  return {
      {.name = "list",
       .summary = "List the presets that there are",
       .text =
           "'local', 'home', 'public' and 'test' come with the program. Those that were saved are files in presets/ beside datameshd.toml.",
       .example = "datamesh preset list"},
      {.name = "show",
       .summary = "Show what a preset sets",
       .text = "Of one that was saved this is the mesh, too: in an open mesh, whoever knows that is let in.",
       .example = "datamesh preset show local",
       .arguments = {{.name = "NAME", .kind = kind::text}}},
      {.name = "save",
       .summary = "Save the daemon's settings of its mesh under a name",
       .text = "What datameshd.toml sets of 'mesh_network' and its like. To give it to somebody, make an invite: "
               "'datamesh invite create FILE --preset NAME'.",
       .example = "datamesh preset save house",
       .arguments = {{.name = "NAME", .kind = kind::text}},
       .options = {{.name = "from", .kind = kind::path, .placeholder = "CONFIG", .text = "Save these settings, not the daemon's."},
                   {.name = "force", .letter = 'f', .text = "Replace a preset of that name."},
                   dry_run}},
      {.name = "remove",
       .summary = "Remove a preset that was saved",
       .text = "The daemon's settings stay as they are.",
       .example = "datamesh preset remove house",
       .arguments = {{.name = "NAME", .kind = kind::text}},
       .options = {dry_run}},
      {.name = "use",
       .summary = "Write what a preset sets into the settings of the daemon",
       .text =
           "In place of all settings of a mesh that are there; all else in datameshd.toml stays. Where the preset names no mesh, the one "
           "that is there stays, with its list of members, or there is a new one. 'home' and 'public' need --seed, unless seeds are there, "
           "and "
           "'public' --announce.",
       .example = "datamesh preset use local --dry-run\n"
                  "datamesh preset use public --announce 9.9.9.9:7000 --seed mesh.example.org:7000",
       .arguments = {{.name = "NAME", .kind = kind::text}},
       .options = {{.name = "listen",
                    .kind = kind::text,
                    .placeholder = "ADDRESS",
                    .text = "Listen there, not where the preset says.",
                    .repeated = true},
                   {.name = "announce",
                    .kind = kind::text,
                    .placeholder = "ADDRESS",
                    .text = "Where others reach this node, when that is not where it listens.",
                    .repeated = true},
                   {.name = "seed", .kind = kind::text, .placeholder = "ADDRESS", .text = "A node to ask first.", .repeated = true},
                   {.name = "first", .text = "There is no other node of this mesh yet."},
                   {.name = "to", .kind = kind::path, .placeholder = "CONFIG", .text = "Write these settings instead of the daemon's."},
                   {.name = "force", .letter = 'f', .text = "Replace settings of a mesh that are there already."},
                   dry_run}},
  };
}

std::vector<command_spec> mesh_commands() {
  return {
      {.name = "node",
       .summary = "Look at this node as a member of a mesh, and give others room on it",
       .example = "datamesh node status",
       .children =
           {{.name = "init",
             .summary = "Make a node that keeps shards for others, with room for it",
             .text =
                 "Makes the home where there is none, and each --folder a drive, as 'drive add' does; what is there already stays. No "
                 "vault is made: 'datamesh vault create' makes one, should this node keep data of its own, too.\n\n"
                 "--capacity is what all owners together may be granted: it is refused where the drives have not that much free, beside "
                 "what others keep there already, and 'node allow' refuses what goes beyond it. It can be said anew, and 0 takes it away. "
                 "What owners do not use yet is held on the disks, where the file system can, so that neither other programs nor this "
                 "node's own data take it; 'node status' tells how much is held.",
             .example = "datamesh node init --folder /mnt/a --folder /mnt/b --capacity 500G\ndatamesh node init --capacity 800G",
             .options =
                 {{.name = "folder", .kind = kind::folder, .placeholder = "DIR", .text = "Make a drive of this folder.", .repeated = true},
                  {.name = "capacity",
                   .kind = kind::size,
                   .placeholder = "SIZE",
                   .text = "What all owners on other nodes may be granted together; 0 is no limit."}},
             .groups = group_node},
            {.name = "start",
             .summary = "Run the daemon of this home, until it is ended",
             .text = "Runs datameshd in the place of this command, in the foreground, with the settings of datameshd.toml or those of "
                     "--from: the one beside this program, or else on PATH. A 'home' in these settings counts more than --home. ^C or "
                     "SIGTERM ends it. On a machine with systemd, 'systemctl start datameshd' runs it as a service instead.",
             .example = "datamesh node start\ndatamesh node start --from one.toml",
             .options = {{.name = "from", .kind = kind::path, .placeholder = "CONFIG", .text = "The settings of the daemon."}, dry_run},
             .groups = group_node},
            {.name = "status",
             .summary = "Show this node and its mesh, who answers, and who has room here",
             .text =
                 "The daemon makes its node a member of a mesh: 'mesh_network' and its like in datameshd.toml, see datameshd(8). 'Seed' "
                 "is what another node's 'mesh_seeds' may name to meet this one.\n\n"
                 "OWNER is the id of a vault, GRANTED what it may keep here at most, and USED what it is charged for its shards. That "
                 "lies on the drives beside what 'drive list' counts, which is this node's own. USED is '?' while what is kept is not "
                 "opened yet, or does not open; the daemon's log tells why. COMPARED is when all of it was last compared with what the "
                 "owner's "
                 "other nodes keep. 'Reserved' is what was set aside for all of them; what they do not use yet is held on the disks, or is "
                 "short. A daemon tells rooms to root and its own user alone.",
             .example = "datamesh node status --json",
             .groups = group_node},
            {.name = "allow",
             .summary = "Let a vault of another node keep shards here, up to a size",
             .text =
                 "OWNER is the vault's id, 64 digits: 'datamesh vault list --json' shows it where the vault is, and its owner tells it. "
                 "SIZE is in place of what was granted before; 0 takes the grant back. What is there stays, can be read, and goes when "
                 "its owner deletes it or its time is over; nothing is stored beyond SIZE.\n\n"
                 "The room is on all drives that get new data; this node's own data may fill them first, unless it was set aside. Where "
                 "'node init --capacity' said how much all owners may have together, no more than that is granted. It holds "
                 "at once in a daemon that is a member of a mesh, and otherwise as soon as one is.",
             .example = "datamesh node allow 5a2c19e07b3d4f6881a0c2e4d6f8091b2a3c4d5e6f708192a3b4c5d6e7f80911 100G",
             .arguments = {{.name = "OWNER", .kind = kind::text}, {.name = "SIZE", .kind = kind::size}},
             .options = {dry_run},
             .groups = group_node},
            {.name = "drain",
             .summary = "Hand what this node keeps for others over to other nodes",
             .text =
                 "Before a machine goes for good, or for long. Nothing new is taken, and each shard is brought to another node that its "
                 "owner uses and that has nothing of its pack; it goes here when that one has shown a block of it. No owner is needed, "
                 "nor a key. What no other node takes stays, and is offered again each hour; its owner can move it. This node's own "
                 "vaults are left alone.\n\n"
                 "It goes on after a restart, until 'node resume' or 'node pause'.",
             .example = "datamesh node drain --wait",
             .options = {{.name = "wait", .text = "Return when nothing is left here, or nobody takes the rest."}, dry_run},
             .groups = group_node},
            {.name = "leave",
             .summary = "Hand over what is kept for others, and go out of the mesh",
             .text = "Drains the node as 'node drain --wait' does, and then takes the mesh out of the daemon's settings, which the daemon "
                     "reads when it is started again. Interrupted, it goes on draining; the next 'node leave' finishes.\n\n"
                     "It is refused while vaults of this node have shards on other nodes, and where no other node takes what is left; with "
                     "--force it goes nevertheless, without waiting.",
             .example = "datamesh node leave --dry-run\ndatamesh node leave",
             .options =
                 {{.name = "to", .kind = kind::path, .placeholder = "CONFIG", .text = "Change these settings instead of the daemon's."},
                  {.name = "force", .letter = 'f', .text = "Go at once, whatever is lost."},
                  dry_run},
             .groups = group_node},
            {.name = "pause",
             .summary = "Take nothing new from others",
             .text = "What is here is served, and deleted when its owner says so. While it is paused, the node does not look after what "
                     "others lost. It stays so after a restart, until 'node resume'.",
             .example = "datamesh node pause",
             .options = {dry_run},
             .groups = group_node},
            {.name = "resume",
             .summary = "Take again what others were granted, after 'node pause' or 'node drain'",
             .example = "datamesh node resume",
             .options = {dry_run},
             .groups = group_node},
            {.name = "limit",
             .summary = "Show or set what this node may take of its line",
             .text =
                 "Without an option it shows the limits that are set. They are bytes a second of all links with other nodes together, at "
                 "least 256K, and 0 is no limit; what is not named stays as it was. They hold over some seconds and not within one, at "
                 "once in a daemon that is a member of a mesh, and after a restart.\n\n"
                 "--between is for hours of each day, by the clock of the machine; 22:00-06:00 goes over midnight. Hours that are named "
                 "for the first time begin with the limits of all others, and no two of them overlap.",
             .example = "datamesh node limit --up 2M --down 10M\ndatamesh node limit --between 08:00-18:00 --up 512K\ndatamesh node limit "
                        "--between 08:00-18:00 --clear",
             .options =
                 {{.name = "up", .kind = kind::size, .placeholder = "SIZE", .text = "What is sent in a second, at the most."},
                  {.name = "down", .kind = kind::size, .placeholder = "SIZE", .text = "What is received in a second, at the most."},
                  {.name = "between", .kind = kind::text, .placeholder = "HH:MM-HH:MM", .text = "Of these hours, not of the others."},
                  {.name = "clear", .text = "Take the limits away: of these hours with --between, else all."},
                  dry_run},
             .groups = group_node}}},
      {.name = "network",
       .summary = "See whether the mesh is well",
       .example = "datamesh network health",
       .children = {{.name = "health",
                     .summary = "Check the mesh of this node, and say what to do",
                     .text =
                         "Each line says ok, warn or fail; what is not ok comes with a cause and one command to run. It is what this node "
                         "knows: of a mesh without a center nobody knows more. How safe the data of a vault is tells 'datamesh status'.\n\n"
                         "With --watch it goes on until ^C, and prints what changes.\n\n"
                         "Exits with 0 when all is well, 3 when something deserves attention, 1 when something is broken.",
                     .example = "datamesh network health\ndatamesh network health --watch --json",
                     .options = {{.name = "watch", .text = "Go on, and print what changes."},
                                 {.name = "every",
                                  .kind = kind::number,
                                  .placeholder = "SECONDS",
                                  .text = "How often to look, with --watch.",
                                  .fallback = "5",
                                  .least = 1}},
                     .groups = group_node}}},
      {.name = "peers",
       .summary = "List the other nodes of the mesh that this one knows",
       .text = "KNOWN nodes have answered at the address that is shown. LINKS are open connections: 'out' ones this node dialed, 'in' ones "
               "the other did. A node that nobody can dial is shown while it has a link.",
       .example = "datamesh peers",
       .groups = group_node},
      {.name = "bandwidth",
       .summary = "Measure how fast the line to other nodes is",
       .text =
           "Asks each NODE some empty requests, whose time is RTT, and sends random bytes to it and has it send some: UP is from here to "
           "there. They go as the shards of packs go, over the same links and within the limits of 'datamesh node limit', so it is "
           "what a put could take and not what the wire could do. One node after the other; without NODE up to four with which there "
           "is a link. A NODE is an id as 'datamesh peers' shows it, or its first digits; it is dialed where there is no link.\n\n"
           "Each way ends with --size or after --seconds, whichever comes first. A node that is asked answers no more than some 70 MiB "
           "of tests of one node in ten minutes, and of all nodes together some four times as much in an hour; who asks for more "
           "is told how long to wait. ^C ends it.",
       .example = "datamesh bandwidth\ndatamesh bandwidth 5f1e2d3c --size 4M --json",
       .arguments = {{.name = "NODE", .optional = true, .repeated = true}},
       .options = {{.name = "size",
                    .kind = kind::size,
                    .placeholder = "SIZE",
                    .text = "Bytes each way, at the most.",
                    .fallback = "16M",
                    .least = line_test_bytes_min,
                    .most = line_test_bytes_max},
                   {.name = "seconds",
                    .kind = kind::number,
                    .placeholder = "N",
                    .text = "How long each way, at the most.",
                    .fallback = "5",
                    .least = 1,
                    .most = static_cast<uint64_t>(line_test_time_max.count() / 1000)}},
       .groups = group_node | group_mesh},
      {.name = "discover",
       .summary = "Show who is on the local network",
       .text = "Asks the daemon whom it hears. Where none does, because there is none or 'mesh_lan' is off, the command asks the nodes of "
               "the mesh that the daemon's settings name, and listens for a while; where it does not know the mesh, it listens alone, "
               "and nodes say that they are there every ten seconds or so.\n\n"
               "PEER tells whether this node has a link with it, knows it, or neither. Of a node of another mesh there is no more than "
               "the address that it was heard from. Who is heard is not believed: he is dialed, and shows his key.",
       .example = "datamesh discover\ndatamesh discover --timeout 15 --json",
       .options =
           {{.name = "timeout",
             .kind = kind::number,
             .placeholder = "SECONDS",
             .text = "How long to listen, where no daemon does.",
             .fallback = "5",
             .least = 1,
             .most = 300},
            {.name = "from", .kind = kind::path, .placeholder = "CONFIG", .text = "Take the mesh from these settings, not the daemon's."}},
       .groups = group_node},
      {.name = "preset",
       .summary = "Keep settings of a mesh under a name, and use them",
       .example = "datamesh preset use local",
       .children = preset_commands()},
      {.name = "members",
       .summary = "Say who is let into a closed mesh",
       .example = "datamesh members show /etc/datamesh/members",
       .children = members_commands()},
      {.name = "invite",
       .summary = "Bring another node into the mesh",
       .example = "datamesh invite create carol.invite",
       .children =
           {{.name = "create",
             .summary = "Write an invite for a new node",
             .text =
                 "FILE names the mesh, whether it is a local one, and the nodes to ask first: this one, where it listens, unless --seed "
                 "names others. The node's key signs it. In an open mesh whoever has FILE is let in, also when it is over: it is for one "
                 "person. Into a closed one nobody is let in by it, until an operator puts the new node on the list of members.",
             .example = "datamesh invite create carol.invite\n"
                        "datamesh invite create carol.invite --members /etc/datamesh/members.list --lasts 1d",
             .arguments = {{.name = "FILE", .kind = kind::path}},
             .options = {{.name = "lasts", .kind = kind::span, .placeholder = "SPAN", .text = "How long it is accepted.", .fallback = "7d"},
                         {.name = "seed",
                          .kind = kind::text,
                          .placeholder = "ID@ADDRESS",
                          .text = "A node to ask first, as 'datamesh node status' shows it there.",
                          .repeated = true},
                         {.name = "preset",
                          .kind = kind::text,
                          .placeholder = "NAME",
                          .text = "Into the mesh of this preset, with its seeds, as far as it names them."},
                         {.name = "members", .kind = kind::path, .placeholder = "LIST", .text = "The list of members of a closed mesh."},
                         {.name = "force", .letter = 'f', .text = "Replace FILE when it is there already."}},
             .groups = group_node},
            {.name = "show",
             .summary = "Show an invite",
             .example = "datamesh invite show carol.invite",
             .arguments = {{.name = "FILE", .kind = kind::path}}},
            {.name = "accept",
             .summary = "Write what an invite says into the settings of the daemon",
             .text =
                 "Sets 'mesh_network', 'mesh_seeds' and their like in datameshd.toml, and leaves all else there as it is. Compare the node "
                 "that the invite is from with what its operator tells, or have it compared by --from: whoever sent FILE says which mesh "
                 "it "
                 "is. See datameshd(8).",
             .example = "datamesh invite accept carol.invite --dry-run\n"
                        "datamesh invite accept carol.invite --listen 192.168.1.10:7000",
             .arguments = {{.name = "FILE", .kind = kind::path}},
             .options =
                 {{.name = "listen",
                   .kind = kind::text,
                   .placeholder = "ADDRESS",
                   .text = "Where others dial this node; without one it only dials.",
                   .repeated = true},
                  {.name = "announce",
                   .kind = kind::text,
                   .placeholder = "ADDRESS",
                   .text = "Where others reach this node, when that is not where it listens.",
                   .repeated = true},
                  {.name = "from", .kind = kind::text, .placeholder = "ID", .text = "The node that has to have signed it."},
                  {.name = "to", .kind = kind::path, .placeholder = "CONFIG", .text = "Write these settings instead of the daemon's."},
                  {.name = "force", .letter = 'f', .text = "Replace settings of a mesh that are there already."},
                  dry_run}}}},
  };
}

std::vector<command_spec> vault_commands() {
  return {
      {.name = "list", .summary = "List the vaults of this node", .example = "datamesh vault list", .groups = group_node},
      {.name = "create",
       .summary = "Create another vault on the same drives",
       .text = "Prints the recovery phrase once.",
       .example = "datamesh vault create work",
       .arguments = {{.name = "NAME", .kind = kind::new_name}},
       .options = {no_password, trust_device},
       .groups = group_node | group_vault},
      {.name = "use",
       .summary = "Make a vault the one that commands work on",
       .text = "Writes the name into the configuration file of who runs it: ~/.config/datamesh/config.toml, for root, too. What stands in "
               "/etc/datamesh/config.toml counts less; it is written to only where --config names it.",
       .example = "datamesh vault use work",
       .arguments = {{.name = "NAME", .kind = kind::vault_name}},
       .options = {dry_run},
       .groups = group_node},
      {.name = "restore",
       .summary = "Bring a vault back from a copy of its key file, and its drives",
       .text =
           "For a new machine, or when the home is lost. KEYFILE is what 'key export' wrote; the vault's password, or with --phrase-file "
           "its recovery phrase, opens it; so does the device key of this home, where it has one. Each --drive is taken over with what is "
           "on it; where there is no node yet, one is made. "
           "Then the catalog is made again from the drives, as by 'rebuild'.",
       .example = "datamesh vault restore /media/stick/main.key --drive /mnt/a --drive /mnt/b --drive /mnt/c\n"
                  "datamesh vault restore main.key --phrase-file -",
       .arguments = {{.name = "KEYFILE", .kind = kind::path}},
       .options =
           {{.name = "drive", .letter = 'd', .kind = kind::folder, .placeholder = "DIR", .text = "A drive to take over.", .repeated = true},
            {.name = "name", .kind = kind::new_name, .placeholder = "NAME", .text = "Name of the vault.", .fallback = "main"}},
       .groups = group_node | group_vault},
      {.name = "destroy",
       .summary = "Destroy a vault: its data can never be read again",
       .text = "Asks for the vault's name on a terminal. The key goes first, and with it all that could read the data; then the vault's "
               "shards are removed from the drives and other nodes, which takes the password, since only the catalog tells whose shards "
               "they are.\n\n"
               "A drive that is away keeps what nobody can read. Once it is back, the same command, or the next cleanup of any vault, "
               "removes that, too; so they do after an interruption. What another node keeps that does not answer, or has not been asked "
               "when the command is interrupted, goes by itself, within 60 days.",
       .example = "datamesh vault destroy work\ndatamesh vault destroy work --key-only --yes",
       .arguments = {{.name = "NAME", .kind = kind::vault_name}},
       .options = {{.name = "key-only", .text = "Take no password, and leave the unreadable shards on the drives for good."}, dry_run, yes},
       .groups = group_node | group_vault | group_mesh},
  };
}

std::vector<command_spec> key_commands() {
  return {
      {.name = "list", .summary = "List what opens the vault", .example = "datamesh key list", .groups = group_node | group_vault},
      {.name = "change-password",
       .summary = "Set a new password",
       .text = "The vault is opened as always, or with '--phrase-file -' by the recovery phrase; then the new password is asked for twice.",
       .example = "datamesh key change-password\ndatamesh key change-password --phrase-file -",
       .options = {{.name = "new-password-file",
                    .kind = kind::path,
                    .placeholder = "FILE",
                    .text = "Read the new password from the first line of FILE."},
                   {.name = "new-password-command",
                    .kind = kind::text,
                    .placeholder = "COMMAND",
                    .text = "Take the new password from the first line that COMMAND prints."}},
       .groups = group_node | group_vault},
      {.name = "recovery",
       .summary = "Add another recovery phrase and print it once",
       .text = "Older phrases stay valid until they are removed with 'key remove'.",
       .example = "datamesh key recovery",
       .groups = group_node | group_vault},
      {.name = "export",
       .summary = "Copy the vault's key file to a safe place",
       .text = "Without its key file nobody can open a vault, and it lies in the home alone. FILE is sealed: it may be kept anywhere, best "
               "away from this machine. A later change of passwords or keys wants a new copy. 'vault restore' is the way back.",
       .example = "datamesh key export /media/stick/main.key",
       .arguments = {{.name = "FILE", .kind = kind::path}},
       .options = {{.name = "force", .letter = 'f', .text = "Replace a file that is there."}},
       .groups = group_node | group_vault},
      {.name = "trust-device",
       .summary = "Let this machine open the vault without a password",
       .example = "datamesh key trust-device",
       .groups = group_node | group_vault},
      {.name = "remove",
       .summary = "Remove a password, phrase or device from the vault",
       .example = "datamesh key remove 3",
       .arguments = {{.name = "NUMBER", .kind = kind::number}},
       .options = {dry_run, yes},
       .groups = group_node | group_vault},
      {.name = "rotate",
       .summary = "Seal new data under a new key",
       .text = "What is stored already stays readable under its old key. A copy of the key file that was made before "
               "opens nothing that is stored from now on: export it again.",
       .example = "datamesh key rotate",
       .groups = group_node | group_vault},
  };
}

std::vector<command_spec> config_commands() {
  return {
      {.name = "show",
       .summary = "Show every setting and its value",
       .example = "datamesh config show --origin",
       .options = {{.name = "origin", .text = "With where each value comes from."}}},
      {.name = "check", .summary = "Check the configuration file", .example = "datamesh config check"},
      {.name = "set",
       .summary = "Set a value in the configuration file",
       .text = "Comments and all other lines of the file stay. The keys are the options that 'config show' lists.",
       .example = "datamesh config set memory 192M",
       .arguments = {{.name = "KEY", .kind = kind::text}, {.name = "VALUE", .kind = kind::text}},
       .options = {dry_run}},
  };
}

std::vector<command_spec> help_commands() {
  return {
      {.name = "explain",
       .summary = "Explain an error code",
       .text = "Without CODE all codes are listed.",
       .example = "datamesh explain DM-NO-SPACE",
       .arguments = {{.name = "CODE", .kind = kind::code, .optional = true}}},
      {.name = "completion",
       .summary = "Print the completion script of a shell",
       .text = "bash: source <(datamesh completion bash)\n\nzsh: datamesh completion zsh > \"${fpath[1]}/_datamesh\"\n\n"
               "fish: datamesh completion fish > ~/.config/fish/completions/datamesh.fish",
       .example = "datamesh completion bash > ~/.local/share/bash-completion/completions/datamesh",
       .arguments = {{.name = "SHELL", .kind = kind::choice, .choices = {"bash", "zsh", "fish"}}}},
      {.name = "help",
       .summary = "Show help on a command or topic",
       .text = "Topics: exit-codes, environment, patterns, json.",
       .example = "datamesh help put\ndatamesh help exit-codes",
       .arguments = {{.name = "TOPIC", .kind = kind::text, .optional = true, .repeated = true}}},
      {.name = "version", .summary = "Show the version", .example = "datamesh version --json"},
  };
}

command_spec build_tree() {
  command_spec root = {
      .name = "datamesh",
      .summary = "Keep files safe on drives that need not be trusted",
      .text = "Files are cut into chunks, stored once, compressed, sealed under keys that only you have, and spread over drives so that "
              "several of them may fail.",
      .example = "datamesh init --drive /mnt/a --drive /mnt/b --drive /mnt/c\n"
                 "datamesh put ~/Documents\n"
                 "datamesh get /Documents --to /tmp/back"};
  auto add = [&](std::string_view section, std::vector<command_spec> commands) {
    for (auto& c : commands)
      root.children.push_back(with_section(section, std::move(c)));
  };
  add("Start", start_commands());
  add("Files", data_commands());
  add("Care", care_commands());
  add("Administration",
      {{.name = "drive", .summary = "Add, watch and replace drives", .example = "datamesh drive list", .children = drive_commands()},
       {.name = "vault", .summary = "Create, choose and destroy vaults", .example = "datamesh vault list", .children = vault_commands()},
       {.name = "key", .summary = "Change what opens a vault", .example = "datamesh key list", .children = key_commands()},
       {.name = "config", .summary = "Show and check the settings", .example = "datamesh config show", .children = config_commands()}});
  add("Mesh", mesh_commands());
  add("Help", help_commands());
  return root;
}

void collect(const command_spec& from, const std::string& prefix, std::vector<named_command>& into) {
  for (auto& child : from.children) {
    auto path = prefix.empty() ? std::string{child.name} : prefix + " " + std::string{child.name};
    if (child.leaf())
      into.push_back({path, &child});
    else
      collect(child, path, into);
  }
}

} // namespace

const command_spec& command_tree() {
  static const command_spec tree = build_tree();
  return tree;
}

std::span<const option_spec> global_options() {
  static const std::vector<option_spec> table = {
      {.name = "help", .letter = 'h', .text = "Show help and do nothing else."},
      {.name = "json", .letter = 'j', .text = "Print JSON Lines for programs. See 'datamesh help json'.", .in_config = true},
      {.name = "quiet", .letter = 'q', .text = "Print results and errors only.", .in_config = true},
      {.name = "verbose", .letter = 'v', .text = "Also print a line for each file.", .in_config = true},
      {.name = "color",
       .kind = kind::choice,
       .placeholder = "WHEN",
       .text = "Use colours: 'auto' on a terminal, unless NO_COLOR is set.",
       .fallback = "auto",
       .choices = {"auto", "always", "never"},
       .in_config = true},
      {.name = "no-progress", .text = "Show no progress.", .in_config = true},
      {.name = "no-pager", .text = "Do not page long lists.", .in_config = true},
      {.name = "bytes", .text = "Print sizes as exact numbers of bytes.", .in_config = true},
      {.name = "config", .kind = kind::path, .placeholder = "FILE", .text = "Read settings from FILE."},
      {.name = "home", .kind = kind::folder, .placeholder = "DIR", .text = "Folder of the node.", .in_config = true},
  };
  return table;
}

std::span<const option_spec> node_options_table() {
  static const std::vector<option_spec> table = {
      {.name = "socket",
       .kind = kind::path,
       .placeholder = "PATH",
       .text = "Ask the daemon that listens there, and nobody else.",
       .in_config = true},
      {.name = "memory",
       .kind = kind::size,
       .placeholder = "SIZE",
       .text = "Memory that running operations may hold together; at least 40M.",
       .fallback = "96M",
       .in_config = true,
       .least = memory_least},
      {.name = "threads",
       .kind = kind::number,
       .placeholder = "N",
       .text = "Threads for computing; 0 is one for each core.",
       .fallback = "0",
       .in_config = true,
       .most = threads_most},
      {.name = "compression",
       .kind = kind::number,
       .placeholder = "LEVEL",
       .text = "zstd level 1 to 19 for new data; 0 switches compression off.",
       .fallback = "2",
       .in_config = true,
       .most = compression_most},
  };
  return table;
}

std::span<const option_spec> vault_options() {
  static const std::vector<option_spec> table = {
      {.name = "vault",
       .kind = kind::vault_name,
       .placeholder = "NAME",
       .text = "Vault to work on; the only one, or 'main', when not given.",
       .in_config = true},
      {.name = "password-file",
       .letter = 'p',
       .kind = kind::path,
       .placeholder = "FILE",
       .text = "Read the password from the first line of FILE; '-' is standard input.",
       .in_config = true},
      {.name = "password-command",
       .kind = kind::text,
       .placeholder = "COMMAND",
       .text = "Take the password from the first line that COMMAND prints.",
       .in_config = true},
      {.name = "phrase-file",
       .kind = kind::path,
       .placeholder = "FILE",
       .text = "Open with the recovery phrase in FILE instead of the password; '-' asks for it."},
  };
  return table;
}

std::vector<const option_spec*> options_of(const command_spec& command) {
  std::vector<const option_spec*> result;
  auto add = [&](std::span<const option_spec> table) {
    for (auto& option : table)
      result.push_back(&option);
  };
  add(command.options);
  if ((command.groups & group_vault) != 0)
    add(vault_options());
  if ((command.groups & group_node) != 0)
    add(node_options_table());
  add(global_options());
  return result;
}

std::vector<named_command> leaf_commands() {
  std::vector<named_command> result;
  collect(command_tree(), "", result);
  return result;
}

std::string variable_of(std::string_view option) {
  std::string result = "DATAMESH_";
  for (auto c : option)
    result += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

} // namespace datamesh::cli
