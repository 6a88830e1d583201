//! Small policies for stories: few rules, each of another sort.

/// Everybody.
pub(crate) const EVERYONE: &str = "\
apiVersion: provost.dev/v1alpha1
kind: DeviceGroup
metadata:
  name: everyone
spec:
  selector: {}
";

/// One rule proven by what is installed, for all; one that is checked by evidence, for Macs.
pub(crate) const ESSENTIALS: &str = "\
apiVersion: provost.dev/v1alpha1
kind: Baseline
metadata:
  name: essentials
spec:
  title: Essentials
  version: \"1\"
  parameters:
    - name: passcodeLength
      type: Integer
      default: 8
      minimum: 4
      maximum: 16
  rules:
    - id: passcode_length
      title: Passcodes are long enough
      severity: High
      controls:
        - { framework: 800-53r5, id: IA-5(1) }
        - { framework: soc2, id: CC6.1 }
      enforce:
        - profile:
            payloadType: com.apple.mobiledevice.passwordpolicy
            content:
              forcePIN: true
              minLength: $(passcodeLength)
    - id: firewall_on
      title: The firewall is on
      platforms:
        - { name: macOS }
      controls:
        - { framework: 800-53r5, id: SC-7 }
        - { framework: soc2, id: CC6.1 }
      enforce:
        - profile:
            payloadType: com.apple.security.firewall
            content:
              EnableFirewall: true
      check:
        cel: SecurityInfo.FirewallSettings.FirewallEnabled == true
";

/// The essentials for everybody. `mode` is `Audit` or `Enforce`, `length` the least length of passcodes.
pub(crate) fn essentials_for_everyone(mode: &str, length: u32) -> String {
    format!(
        "\
apiVersion: provost.dev/v1alpha1
kind: Assignment
metadata:
  name: essentials
spec:
  groups:
    - name: everyone
  mode: {mode}
  baselines:
    - name: essentials
      parameters:
        passcodeLength: {length}
"
    )
}

/// A group of the devices with a label.
pub(crate) fn group(name: &str, label: &str, value: &str) -> String {
    format!(
        "\
apiVersion: provost.dev/v1alpha1
kind: DeviceGroup
metadata:
  name: {name}
spec:
  selector:
    matchLabels:
      {label}: {value}
"
    )
}

/// A baseline of one rule that sets one key of one payload.
pub(crate) fn one_rule(baseline: &str, rule: &str, payload_type: &str, key: &str, value: &str) -> String {
    format!(
        "\
apiVersion: provost.dev/v1alpha1
kind: Baseline
metadata:
  name: {baseline}
spec:
  title: {baseline}
  version: \"1\"
  rules:
    - id: {rule}
      title: {rule}
      controls:
        - {{ framework: soc2, id: CC6.8 }}
      enforce:
        - profile:
            payloadType: {payload_type}
            content:
              {key}: {value}
"
    )
}

/// An assignment of one baseline to one group.
pub(crate) fn assignment(name: &str, group: &str, baseline: &str, precedence: i32) -> String {
    format!(
        "\
apiVersion: provost.dev/v1alpha1
kind: Assignment
metadata:
  name: {name}
spec:
  groups:
    - name: {group}
  mode: Enforce
  precedence: {precedence}
  baselines:
    - name: {baseline}
"
    )
}
