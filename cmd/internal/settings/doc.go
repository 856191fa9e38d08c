// Package settings reads what a binary was told: every flag is also an environment variable
// and a key of its YAML config file. It is written once for all binaries.
//
//	flags := cmd.Flags()
//	flags.String("data-dir", "", "directory that holds the state")
//	flags.StringSlice("join", nil, "HTTP address of any queen (repeat, or separate by commas)")
//	settings.ConfigFlag(flags)                            // adds --config
//	settings.Env(flags, "queen", "RBEE_QUEENS")           // only where the name is not the rule's
//	...
//	// in RunE, after cobra has parsed the command line:
//	src, err := settings.Load(cmd.Flags(), &fileOnly)     // fileOnly may be nil
//	dir, _ := cmd.Flags().GetString("data-dir")
//	if dir == "" {
//		return src.Errorf("data-dir", "is required: give the directory that holds the state")
//	}
//
// Precedence: flag, then environment, then file, then the flag's default.
//
// Names: the flag `data-dir` is the variable RBEE_DATA_DIR and the key `data-dir`. An empty
// variable and a null key count as not given. List flags (StringSlice, StringArray, IntSlice,
// ...) take repeated or comma-separated values on the command line, comma-separated ones in
// the environment, and a list or comma-separated text in the file.
//
// Structured sections that are no flags (a hive's `engines:`, `devices:`, `labels:`) are the
// fields of a struct with yaml tags whose pointer is given to Load; values already in it are
// the defaults. A key may not be both a flag and a field. The file is read strictly: a key
// that is neither is refused, at any depth, with file, line and key. (A type with its own
// UnmarshalYAML must be strict by itself.)
//
// Every error is an *Error: it names the flag, variable or file and key that was wrong; mains
// answer it with exit code 2.
//
// Nothing here is safe for concurrent use, and nothing runs on its own.
package settings
