package graph

import (
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// maxMistakes is how many mistakes of one document are reported.
const maxMistakes = 20

// validationRules returns the rules for one document. Unlike the default ones they suggest no names, which would compare
// every unknown name with all those of the schema, and report no more than maxMistakes.
func validationRules() *rules.Rules {
	all := rules.NewDefaultRules()
	for plain, silent := range map[string]core.Rule{
		rules.FieldsOnCorrectTypeRule.Name: rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
		rules.ScalarLeafsRule.Name:         rules.ScalarLeafsRuleWithoutSuggestions,
		rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
		rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
		rules.ValuesOfCorrectTypeRule.Name: rules.ValuesOfCorrectTypeRuleWithoutSuggestions,
	} {
		all.RemoveRule(plain)
		all.AddRule(silent.Name, silent.RuleFunc)
	}
	reported := 0
	for name, rule := range all.GetInner() {
		all.ReplaceRule(name, func(observers *core.Events, addError core.AddErrFunc) {
			rule(observers, func(options ...core.ErrorOption) {
				if reported++; reported <= maxMistakes {
					addError(options...)
				}
			})
		})
	}
	return all
}
