package fsm

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
)

// fields lists a record's or command's exported fields that are set, as name and value.
func fields(record any) (list [][2]string) {
	v := reflect.Indirect(reflect.ValueOf(record))
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && !v.Field(i).IsZero() {
			list = append(list, [2]string{strings.ToLower(f.Name), short(v.Field(i))})
		}
	}
	return list
}

// readable is a record in one line.
func readable(record any) string {
	var parts []string
	for _, f := range fields(record) {
		parts = append(parts, f[0]+"="+f[1])
	}
	return strings.Join(parts, " ")
}

func short(v reflect.Value) string {
	if h, ok := v.Interface().([32]byte); ok {
		return hex.EncodeToString(h[:4]) + "…"
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return short(v.Elem())
	case reflect.Struct:
		return "{" + readable(v.Interface()) + "}"
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%q", v.Bytes())
		}
		var parts []string
		for i := range v.Len() {
			parts = append(parts, short(v.Index(i)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case reflect.String:
		if s := v.String(); s == "" || strings.ContainsAny(s, " ,=") {
			return fmt.Sprintf("%q", s)
		}
	}
	return fmt.Sprint(v.Interface())
}
