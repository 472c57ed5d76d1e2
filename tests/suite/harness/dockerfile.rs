//! A Dockerfile as its stages and instructions.

/// One `FROM` and what follows it.
pub struct Stage {
    pub image: String,
    pub name: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    /// What follows each instruction of this name.
    pub fn all(&self, instruction: &str) -> Vec<&str> {
        self.instructions.iter().filter(|(name, _)| name == instruction).map(|(_, rest)| rest.as_str()).collect()
    }

    /// The words of an instruction that may be there once, which has to be in exec form: a shell would not pass signals on, and there is none.
    pub fn exec(&self, instruction: &str) -> Vec<String> {
        let found = self.all(instruction);
        assert!(found.len() == 1, "{} has {} {instruction}", self.name, found.len());
        let words = found[0].find('[').map(|start| &found[0][start..]);
        serde_json::from_str(words.unwrap_or_default()).unwrap_or_else(|_| panic!("{instruction} is not in exec form: {}", found[0]))
    }
}

/// The stages, in order.
pub fn stages(text: &str) -> Vec<Stage> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut stages: Vec<Stage> = Vec::new();
    for line in lines.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (instruction, rest) = line.trim().split_once(' ').unwrap();
        if instruction == "FROM" {
            let words: Vec<&str> = rest.split_whitespace().collect();
            assert!(words.len() == 3 && words[1] == "AS", "a stage without a name: {line}");
            stages.push(Stage { image: words[0].into(), name: words[2].into(), instructions: Vec::new() });
        } else {
            stages.last_mut().unwrap().instructions.push((instruction.into(), rest.trim().into()));
        }
    }
    stages
}
