package fsm

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parseCommand reads "name field=value …". Fields of a struct inside (Job, Queen, …) are
// named directly; lists are separated by commas, pairs by a slash, failures by a colon.
func parseCommand(t *testing.T, line string) Command {
	t.Helper()
	words := strings.Fields(line)
	for n, k := range kinds {
		if k.make != nil && words[0] == Number(n).String() {
			cmd := k.make()
			fill(t, cmd, words[1:])
			return cmd
		}
	}
	t.Fatalf("unknown command %q", line)
	return nil
}

func fill(t *testing.T, record any, words []string) {
	t.Helper()
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		f := field(reflect.ValueOf(record).Elem(), name)
		if !f.IsValid() {
			t.Fatalf("%T has no field %q", record, name)
		}
		if err := set(f, value); err != nil {
			t.Fatalf("%T: %s: %v", record, word, err)
		}
	}
}

func field(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && strings.EqualFold(v.Type().Field(i).Name, name) && leaf(v.Field(i)) {
			return v.Field(i)
		}
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && v.Field(i).Kind() == reflect.Struct {
			if f := field(v.Field(i), name); f.IsValid() {
				return f
			}
		}
	}
	return reflect.Value{}
}

// leaf tells a field that has a written form of its own.
func leaf(f reflect.Value) bool {
	switch f.Interface().(type) {
	case Failure, Holder, Begin, Usage, Body:
		return true
	}
	return f.Kind() != reflect.Struct
}

func set(f reflect.Value, s string) error {
	before, behind, _ := strings.Cut(s, "/")
	num := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n }
	switch p := f.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(s)
		*p = d
		return err
	case *Epoch:
		*p = Epoch{s[0]}
	case *[32]byte:
		*p = hash32(s[0])
	case *Body:
		*p = Body{Data: []byte(s), Size: uint32(len(s))}
	case **Failure:
		code, text, _ := strings.Cut(s, ":")
		*p = &Failure{code, text}
	case *Failure:
		code, text, _ := strings.Cut(s, ":")
		*p = Failure{code, text}
	case *Holder:
		*p = Holder{before, behind}
	case *Begin:
		*p = Begin{num(before), num(behind)}
	case *Usage:
		*p = Usage{num(before), num(behind)}
	case *[]Holder:
		for _, h := range strings.Split(s, ",") {
			queen, boot, _ := strings.Cut(h, "/")
			*p = append(*p, Holder{queen, boot})
		}
	case *[]string:
		*p = strings.Split(s, ",")
	case *[]Label:
		for _, l := range strings.Split(s, ",") {
			key, value, _ := strings.Cut(l, "/")
			*p = append(*p, Label{key, value})
		}
	case *[]EngineModel:
		for _, m := range strings.Split(s, ",") {
			engine, ref, _ := strings.Cut(m, "/")
			*p = append(*p, EngineModel{Engine: engine, Ref: ref, Slots: 2})
		}
	default:
		return setPlain(f, s)
	}
	return nil
}

func setPlain(f reflect.Value, s string) error {
	switch f.Kind() {
	case reflect.String:
		f.SetString(s)
	case reflect.Bool:
		f.SetBool(s == "true" || s == "")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		f.SetInt(n)
		return err
	case reflect.Float64:
		n, err := strconv.ParseFloat(s, 64)
		f.SetFloat(n)
		return err
	case reflect.Uint8: // an enum, by its word
		for n := range uint64(10) {
			f.SetUint(n)
			if fmt.Sprint(f.Interface()) == s {
				return nil
			}
		}
		return fmt.Errorf("no such word")
	default:
		n, err := strconv.ParseUint(s, 10, 64)
		f.SetUint(n)
		return err
	}
	return nil
}
